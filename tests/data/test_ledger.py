"""The ledger: what a mixture wants of each domain beside what there is, and the remedy where there is nothing"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from packtrain.data.ledger import LEDGER, of_pack, reckon, remarks
from packtrain.data.manifest import Domain, Manifest, Split
from packtrain.data.pack import pack
from tests.data.corpus import write_documents, write_tokenizer

# LLaMA, table 1: proportion, epochs and disk size (GB) at 1.4 T tokens.
PAPER = {"common_crawl": (0.67, 1.10, 3300), "wikipedia": (0.045, 2.45, 83), "books": (0.045, 2.23, 85)}


def manifest(**tokens: int) -> Manifest:
    return Manifest(1, 64, "f", {}, {name: Domain(Split(1, n, 4 * n), Split()) for name, n in tokens.items()})


def test_the_paper_s_epochs_come_out_of_its_proportions_and_sizes() -> None:
    packed = {name: round(1.4e12 * share / epochs) for name, (share, epochs, _) in PAPER.items()}
    shares = {name: share for name, (share, _, _) in PAPER.items()}
    for entry in reckon(manifest(**packed), shares, 1_400_000_000_000, {}).entries:
        assert entry.epochs(entry.target_tokens) == pytest.approx(PAPER[entry.domain][1], rel=1e-6)


def test_a_pack_s_ledger_sets_what_is_packed_beside_what_the_mixture_wants() -> None:
    ledger = of_pack(manifest(a=300, b=100), {"a": 1.0, "b": 1.0}, 800)
    a, b = (entry.values() for entry in ledger.entries)
    assert (a["target_tokens"], a["realised_tokens"], a["target_bytes"], a["realised_bytes"]) == (400, 300, 1600, 1200)
    assert a["target_epochs"] == pytest.approx(4 / 3) and b["target_epochs"] == 4.0
    assert ledger.lines()[-1].split() == ["all", "100.0%", "800", "400", "3,200", "1,600"]
    assert ledger.markdown().count("\n") == 4


def test_without_weights_every_domain_is_wanted_once() -> None:
    entries = of_pack(manifest(a=300, b=100), {}, None).entries
    assert [(e.target_tokens, e.realised_tokens, e.epochs(e.target_tokens)) for e in entries] == [
        (300, 300, 1.0),
        (100, 100, 1.0),
    ]


def test_a_domain_that_is_not_packed_is_named_with_its_remedy() -> None:
    packed = manifest(a=300, extra=5)
    (missing, unread) = remarks(packed, {"a": 0.5, "wikipedia": 0.5})
    assert "wikipedia: nothing packed" in missing and "domain=wikipedia" in missing
    assert "data.weights.wikipedia=0" in missing and unread.endswith("never drawn: extra")
    entry = of_pack(packed, {"a": 0.5, "wikipedia": 0.5}, None).entries[1]
    assert entry.values()["target_epochs"] is None and entry.cells()[4:] == ("-", "-", "-", "-")


def test_packing_writes_the_ledger_and_again_for_another_mixture(tmp_path: Path) -> None:
    documents = write_documents(tmp_path / "documents" / "a", "a")
    write_documents(tmp_path / "documents" / "b", "b", count=10)
    tokenizer = write_tokenizer(tmp_path / "tokenizer.model")
    said: list[str] = []
    made = pack([documents.parent], tokenizer, tmp_path / "out", 0.1, say=said.append)
    values = json.loads((tmp_path / "out" / LEDGER).read_text())["domains"]
    assert {name: v["realised_tokens"] for name, v in values.items()} == {
        name: domain.train.tokens for name, domain in made.domains.items()
    }
    assert any(line.split()[:1] == ["b"] for line in said)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.bin")}
    pack([documents.parent], tokenizer, tmp_path / "out", 0.1, weights={"a": 0.25, "b": 0.75}, tokens=10_000)
    again = json.loads((tmp_path / "out" / LEDGER).read_text())
    assert again["tokens"] == 10_000 and again["domains"]["b"]["target_tokens"] == 7500
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.bin")}
