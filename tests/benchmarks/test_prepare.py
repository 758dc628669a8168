"""benchmarks.prepare and benchmarks.pack run on little; the made WET is the same again, and both programs read it"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import common, made_wet, pack, prepare
from packtrain.data import web_pages
from packtrain.data.step import Skips

SENTENCES = "The llama carries its load over the pass in the morning. It rests at noon by the lake. Then it goes on."


@pytest.fixture
def corpora(tmp_path: Path) -> Path:
    books = tmp_path / "corpora" / "books"
    books.mkdir(parents=True)
    (books / "pg1.txt").write_text("\n\n".join(f"Day {i}, {i * 7} miles. {SENTENCES}" for i in range(400)))
    (tmp_path / "corpora" / "commoncrawl").mkdir()
    (tmp_path / "corpora" / "commoncrawl" / "a.jsonl").write_text(json.dumps({"text": SENTENCES * 6}) + "\n")
    (tmp_path / "corpora" / "c4").mkdir()
    (tmp_path / "corpora" / "c4" / "a.jsonl").write_text(json.dumps({"text": SENTENCES}) + "\n")
    return tmp_path / "corpora"


def test_a_made_wet_is_the_same_again_and_holds_every_page(corpora: Path, tmp_path: Path) -> None:
    first = made_wet.make(tmp_path, corpora, 100).read_bytes()
    path = made_wet.make(tmp_path, corpora, 100)
    assert path.read_bytes() == first
    skips = Skips()
    pages = list(web_pages.read(path, path.name, "c4", web_pages.Pages(), skips))
    assert len({page.url for page in pages}) == 100 and not skips.counts
    assert max(Counter(page.text for page in pages).values()) > 1, "some are copies"


def test_prepare_times_domains_and_compares_kept_sets_with_datatrove(corpora: Path, tmp_path: Path) -> None:
    pytest.importorskip("datatrove", reason="datatrove is not installed: pip install 'packtrain[bench]'")
    prepare.main(["--quick", "--out", str(tmp_path), "--corpora", str(corpora), "--domains", "books", "c4"])
    rows = json.loads((tmp_path / f"prepare-{common.machine_name()}.json").read_text())["results"]
    assert [row["domain"] for row in rows if row["by"] == "packtrain"] == [
        "books", "c4", "c4: rules", "common_crawl: reading WET", "c4", "common_crawl",
        "common_crawl, each line's first kept",
    ]  # fmt: skip
    compared = [row for row in rows if "agreement" in row]
    assert all(row["mb_per_second"] > 0 for row in rows) and len(compared) == 10
    assert all(row["agreement"] == 1 for row in compared[:4]), "the same rules, the same records"


def test_pack_counts_tokens_a_second(tmp_path: Path) -> None:
    pack.main(["--quick", "--out", str(tmp_path)])
    rows = json.loads((tmp_path / f"pack-{common.machine_name()}.json").read_text())["results"]
    assert all(row["tokens_per_second"] > 0 for row in rows)
