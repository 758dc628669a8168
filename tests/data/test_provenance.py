"""pack: the same bytes on any number of processes, every token known by its document; documents taken out again"""

from __future__ import annotations

import json
import random
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from litdata import StreamingDataset
from litdata.streaming.item_loader import TokensLoader

from packtrain.cli import main
from packtrain.data import shards as shards_module
from packtrain.data.complete import Executor
from packtrain.data.documents import Document, DocumentWriter
from packtrain.data.executors.local import LocalExecutor
from packtrain.data.executors.registry import choose
from packtrain.data.manifest import load_manifest, verify
from packtrain.data.mixture import Mixture
from packtrain.data.pack import pack
from packtrain.data.permutation import invert, permute
from packtrain.data.phases import Phases
from packtrain.data.run_steps import units_of
from packtrain.data.shards import Shards
from packtrain.data.sightings import samples_of
from packtrain.data.trace import told, trace
from packtrain.errors import UserError
from packtrain.tokenizer.tokenizer import Tokenizer
from tests.data.corpus import text, write_tokenizer


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two domains of three files each, a tokenizer, and a pack in units of a file, its chunks small."""
    base = tmp_path_factory.mktemp("provenance")
    write_tokenizer(base / "tokenizer.model")
    for domain in ("first", "second"):
        for part in range(3):
            with DocumentWriter(base / "documents" / domain, single=f"part{part}") as writer:
                for i in range(20):
                    name = f"{domain}/{part}/{i}"
                    url = f"https://example.org/{name}"
                    split = "held_out" if i % 10 == 0 else "train"
                    writer.write(Document(name, text(i + 20 * part, 30), domain, f"{part}.raw", url, split=split))
    with pytest.MonkeyPatch.context() as patch:
        small(patch)
        packed(base, base / "pack", LocalExecutor(processes=0))
    return base


def small(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("packtrain.data.pack.units_of", lambda files, sizes: units_of(files, sizes, 1))
    patch.setattr(shards_module, "CHUNK_BYTES", 1000)


def packed(base: Path, output: Path, executor: Executor) -> dict[str, bytes]:
    pack([base / "documents"], base / "tokenizer.model", output, 0.1, say=lambda _: None, executor=executor)
    return tree(output)


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_two_processes_pack_the_same_bytes_as_one(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("packtrain.data.pack.units_of", lambda files, sizes: units_of(files, sizes, 1))
    one, two = (packed(base, tmp_path / str(n), LocalExecutor(processes=n)) for n in (1, 2))
    assert one == two and len([name for name in one if name.endswith(".bin")]) == 12


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="pip install 'packtrain[ray]'")
def test_ray_packs_the_same_bytes(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("packtrain.data.pack.units_of", lambda files, sizes: units_of(files, sizes, 1))
    ray = choose({"engine": "ray", "workers": 2, "memory_gb": 0.2})
    assert packed(base, tmp_path / "ray", ray) == packed(base, tmp_path / "one", LocalExecutor(processes=1))


def test_every_token_leads_to_its_document_and_litdata_reads_the_joined_shards(base: Path) -> None:
    tokenizer = Tokenizer(base / "tokenizer.model")
    for domain in ("first", "second"):
        shards = Shards(base / "pack", domain, "train")
        whole = trace(base / "pack", domain, "train", 0, len(shards))
        assert len(whole) == 54 and whole[0].start == 0 and whole[-1].end == len(shards)
        assert all(before.end == after.start for before, after in pairwise(whole))
        chance = random.Random(3)
        for start in chance.sample(range(len(shards)), 10):
            (piece,) = trace(base / "pack", domain, "train", start, 1)
            assert piece in list(trace(base / "pack", domain, "train", start, 1))
            (own,) = [p for p in whole if p.start <= start < p.end]
            assert piece.document == own.document and (piece.start, piece.end, piece.whole) == (
                start, start + 1, own.whole,
            )  # fmt: skip
            _, part, number = piece.document.id.split("/")
            expected = text(int(number) + 20 * int(part), 30)
            ids = shards.tokens(own.start, own.whole).tolist()
            assert tokenizer.decode(ids[1:-1]) == expected and piece.document.bytes == len(expected.encode())
            assert piece.document.source == f"{part}.raw" and piece.document.file.startswith(f"{domain}/part{part}")
        read = StreamingDataset(str(base / "pack" / domain / "train"), item_loader=TokensLoader(block_size=16))
        assert read[0].tolist() == shards.tokens(0, 16).tolist()


def test_folders_of_the_same_name_are_told_apart(base: Path, tmp_path: Path) -> None:
    """Five dumps of CommonCrawl lie in five folders named common_crawl."""
    for year in ("2023", "2024"):
        folder = tmp_path / year / "crawl"
        with DocumentWriter(folder) as writer:
            writer.write(Document(f"{year}/page", text(int(year)), "crawl", f"{year}.warc", split="train"))
        (folder / "report.json").write_text(json.dumps({"settings": {"input": f"dump {year}"}, "steps": []}))
    inputs = [tmp_path / year / "crawl" for year in ("2023", "2024")]
    pack(inputs, base / "tokenizer.model", tmp_path / "pack", 0.1, say=lambda _: None)
    pieces = trace(tmp_path / "pack", "crawl", "train", 0, 10**6)
    assert [piece.document.file for piece in pieces] == [f"{y}/crawl/train-00000.jsonl.zst" for y in ("2023", "2024")]
    prepared = [one["prepared"]["settings"]["input"] for one in told(tmp_path / "pack", pieces)]
    assert prepared == ["dump 2023", "dump 2024"]


def test_a_pack_within_the_documents_folder_is_no_input(base: Path, tmp_path: Path) -> None:
    with DocumentWriter(tmp_path / "mine" / "documents") as writer:
        writer.write(Document("one", text(1), "mine", "1.raw"))
    said: list[str] = []
    for _ in range(2):
        pack([tmp_path / "mine"], base / "tokenizer.model", tmp_path / "mine" / "shards", 0.1, say=said.append)
    assert said[-1].endswith("already made with these settings, nothing to do")


def test_trace_prints_the_document_its_file_and_how_it_was_made(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = [f"shards={base / 'pack'}", "of=second"]
    assert main(["data", "trace", *place, "token=0", "count=40"]) == 0
    printed = capsys.readouterr().out
    assert "second/0/1  https://example.org/second/0/1  from 0.raw (second/part0-00000.jsonl.zst)" in printed
    assert "no report of how it was prepared" in printed
    for arguments, message in (
        (["trace", *place], "packtrain data trace needs token="),
        (["trace", *place, "token=99999999"], "second has tokens 0 … "),
        (["trace", *place, "token=-1"], "second has tokens 0 … "),
        (["look"], "packtrain data look: unknown; known: trace, remove, decontaminate"),
        (["trace", place[0], "of=secnd", "token=1"], "no domain 'secnd'; did you mean 'second'?"),
    ):
        assert main(["data", *arguments]) == 2
        assert message in capsys.readouterr().err


def test_documents_are_taken_out_by_id_and_by_url(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = ["first/1/3", "https://example.org/second/0/0", "second/2/19"]
    before = {d: Shards(base / "pack", d, "train") for d in ("first", "second")}
    arguments = ["data", "remove", f"shards={base / 'pack'}", f"output={tmp_path / 'out'}", f"runs_dir={tmp_path}"]
    assert main([*arguments, f"ids=[{','.join(gone)}]"]) == 0
    printed = capsys.readouterr().out
    assert "removed second/0/0 (second, held_out," in printed and "no run in" in printed
    manifest = verify(tmp_path / "out", checksums=True)
    old = load_manifest(base / "pack")
    assert manifest.fingerprint != old.fingerprint
    left = {"first": {"first/1/3"}, "second": {"second/2/19"}}
    for domain, missing in left.items():
        shards = Shards(tmp_path / "out", domain, "train")
        expected = list(trace(base / "pack", domain, "train", 0, len(before[domain])))
        kept = [p for p in expected if p.document.id not in missing]
        assert [p.document for p in trace(tmp_path / "out", domain, "train", 0, len(shards))] == [
            p.document for p in kept
        ]
        tokens = np.concatenate([before[domain].tokens(p.start, p.whole).numpy() for p in kept])
        assert shards.tokens(0, len(shards)).numpy().tolist() == tokens.tolist()
        train, was = manifest.domains[domain].train, old.domains[domain].train
        (out,) = [p for p in expected if p.document.id in missing]
        assert (train.documents, train.tokens, train.bytes) == (
            53,
            was.tokens - out.whole,
            was.bytes - out.document.bytes,
        )
        read = StreamingDataset(str(tmp_path / "out" / domain / "train"), item_loader=TokensLoader(block_size=16))
        assert read[0].tolist() == shards.tokens(0, 16).tolist()
    assert manifest.domains["second"].held_out.documents == old.domains["second"].held_out.documents - 1
    assert main([*arguments[:2], f"shards={tmp_path / 'out'}", f"output={tmp_path / 'out'}", "ids=[first/0/1]"]) == 0
    assert verify(tmp_path / "out", checksums=True).domains["first"].train.documents == 52
    capsys.readouterr()
    for more, message in (
        (["ids=[nobody]", f"output={tmp_path / 'new'}"], "ids: nobody is no id or URL in"),
        (["ids=[first/0/1]"], "exists; choose another output or overwrite=true"),
        ([f"output={tmp_path / 'new'}"], "needs ids=[ID_OR_URL,…] or ids_file=FILE"),
    ):
        assert main([*arguments, *more]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("n", [1, 2, 7, 100, 4097])
def test_a_permutation_is_undone(n: int) -> None:
    positions = np.arange(n)
    assert invert(permute(positions, n, 9), n, 9).tolist() == positions.tolist()


@pytest.mark.parametrize("unique", [None, {"a": 300, "b": 5000}])
@pytest.mark.parametrize("changed", [False, True])
def test_the_samples_that_saw_a_block_are_those_that_the_mixture_draws(
    changed: bool, unique: dict[str, int] | None
) -> None:
    weights, blocks = {"a": 0.7, "b": 0.3}, {"a": 900, "b": 5000}
    late: list[tuple[int, dict[str, float]]] = [(4_000, {"b": 0.2, "a": 0.8})]
    whole = Mixture(weights, blocks, 4, unique=unique)
    mixture: Mixture = Phases(weights, late, blocks, 4, unique) if changed else whole
    domains, _, drawn = mixture.samples(np.arange(25_000))
    for domain, wanted in (("a", list(range(17, 25))), ("b", [4999]), ("b", [0])):
        here = (domains == mixture.domains.index(domain)) & np.isin(drawn, wanted)
        assert samples_of(mixture, domain, wanted, 25_000) == np.flatnonzero(here).tolist()


def test_a_pack_without_provenance_says_so(base: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(base / "pack", tmp_path / "old")
    shutil.rmtree(tmp_path / "old" / "provenance")
    with pytest.raises(UserError, match="nothing is known of where its tokens are from; pack it again"):
        trace(tmp_path / "old", "first", "train", 0, 1)


def test_trace_as_json_holds_settings_code_and_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text(text(1, 400))
    (tmp_path / "in" / "b.txt").write_text(text(2, 400))
    write_tokenizer(tmp_path / "tokenizer.model")
    made: dict[str, Any] = {}
    for command in (
        ["prepare", f"input={tmp_path / 'in'}", f"output={tmp_path / 'documents' / 'text'}", "held_out=0.3"],
        [
            "pack",
            f"input={tmp_path / 'documents'}",
            f"tokenizer={tmp_path / 'tokenizer.model'}",
            f"output={tmp_path}/p",
        ],
        ["data", "trace", f"shards={tmp_path}/p", "of=text", "token=5", "format=json"],
    ):
        capsys.readouterr()
        assert main(command) == 0
    made = json.loads(capsys.readouterr().out)
    (document,) = made["documents"]
    assert document["tokens"] == [5, 6] and document["source"] in ("a.txt", "b.txt")
    prepared = document["prepared"]
    assert prepared["settings"]["code"] and prepared["settings"]["version"] and "drop empty" in prepared["steps"]
