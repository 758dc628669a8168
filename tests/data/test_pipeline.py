"""prepare → tokenizer → pack: made once, the same bytes again, refused by name, whole or not at all"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from packtrain.data.config import DataConfig
from packtrain.data.documents import Document, DocumentWriter, document_files, read_documents
from packtrain.data.domains import text as text_domain
from packtrain.data.domains.text import pieces
from packtrain.data.manifest import load_manifest
from packtrain.data.pack import pack
from packtrain.data.prepare import prepare
from packtrain.data.shards import Shards, held_out_documents, open_blocks
from packtrain.data.text_pipeline import ensure_text_shards
from packtrain.data.vocabulary import make_tokenizer
from packtrain.errors import Failure, UserError
from packtrain.settings import build
from packtrain.tokenizer.tokenizer import Tokenizer
from tests.data.corpus import text, write_documents, write_tokenizer

SHARE = 0.1


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    write_documents(tmp_path / "documents" / "a", "a")
    write_documents(tmp_path / "documents" / "b", "b", count=12)
    return tmp_path / "documents"


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    return write_tokenizer(tmp_path / "tokenizer.model")


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# ---- pack ----------------------------------------------------------------------------------------------------------


def test_every_token_of_every_document_is_packed_between_bos_and_eos(documents: Path, tokenizer: Path) -> None:
    output = documents.parent / "shards"
    manifest = pack([documents], tokenizer, output, SHARE)
    known = Tokenizer(tokenizer)
    for domain in ("a", "b"):
        for split in ("train", "held_out"):
            wanted = [d for d in read_documents(documents) if (d.domain, d.split) == (domain, split)]
            packed = [ids.tolist() for ids in Shards(output, domain, split).documents()]
            assert packed == [[1, *known.encode(d.text), 2] for d in wanted]
            record = getattr(manifest.domains[domain], split)
            assert record.documents == len(wanted) and record.tokens == sum(map(len, packed))
            assert record.bytes == sum(len(d.text.encode()) for d in wanted)
    assert manifest == load_manifest(output)
    assert (output / "tokenizer.model").read_bytes() == tokenizer.read_bytes()
    assert manifest.tokenizer_fingerprint == known.fingerprint


def test_a_pack_made_again_elsewhere_is_the_same_to_the_byte(documents: Path, tokenizer: Path, tmp_path: Path) -> None:
    pack([documents], tokenizer, tmp_path / "one", SHARE)
    moved = tmp_path / "elsewhere"
    shutil.copytree(documents, moved / "documents")
    shutil.copy(tokenizer, moved / "other-name.model")
    pack([moved / "documents"], moved / "other-name.model", moved / "two", SHARE)
    assert tree(tmp_path / "one") == tree(moved / "two")


def test_packing_twice_does_nothing_and_says_so(documents: Path, tokenizer: Path, tmp_path: Path) -> None:
    said: list[str] = []
    pack([documents], tokenizer, tmp_path / "out", SHARE)
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")}
    pack([documents], tokenizer, tmp_path / "out", SHARE, say=said.append)
    assert len(said) == 1 and "nothing to do" in said[0]
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")} == times


def test_another_tokenizer_over_a_pack_is_refused_unless_overwrite(
    documents: Path, tokenizer: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    pack([documents], tokenizer, output, SHARE)
    before, other = tree(output), write_tokenizer(tmp_path / "other.model", 310)
    with pytest.raises(UserError, match=r"tokenizer .* → .*overwrite=true"):
        pack([documents], other, output, SHARE)
    assert tree(output) == before
    assert pack([documents], other, output, SHARE, overwrite=True).vocab_size == 310


def test_a_folder_that_is_no_pack_is_never_replaced(documents: Path, tokenizer: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("dear")
    with pytest.raises(UserError, match="not made by this command"):
        pack([documents], tokenizer, tmp_path / "home", SHARE, overwrite=True)
    assert (tmp_path / "home" / "letter").read_text() == "dear"


def test_a_pack_that_failed_leaves_nothing(documents: Path, tokenizer: Path, tmp_path: Path) -> None:
    last = document_files(documents)[-1]
    last.write_bytes(last.read_bytes()[:-10])
    with pytest.raises(Failure, match=last.name):
        pack([documents], tokenizer, tmp_path / "out" / "shards", SHARE)
    assert not list((tmp_path / "out").iterdir())


def test_a_damaged_pack_is_not_called_done(documents: Path, tokenizer: Path, tmp_path: Path) -> None:
    pack([documents], tokenizer, tmp_path / "out", SHARE)
    (tmp_path / "out" / "a" / "train" / "chunk-0-0.bin").write_bytes(b"")
    with pytest.raises(Failure, match=r"chunk-0-0\.bin.*truncated.*overwrite=true"):
        pack([documents], tokenizer, tmp_path / "out", SHARE)


def test_no_documents_are_refused(tokenizer: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "x.jsonl").write_text("")
    with pytest.raises(UserError, match="no documents"):
        pack([tmp_path / "empty"], tokenizer, tmp_path / "out", SHARE)


def test_documents_without_a_split_are_held_out_by_their_id(tokenizer: Path, tmp_path: Path) -> None:
    with DocumentWriter(tmp_path / "d") as writer:
        for i in range(400):
            writer.write(Document(str(i), text(i), "a", "s"))
    record = pack([tmp_path / "d"], tokenizer, tmp_path / "out", 0.25).domains["a"]
    assert record.held_out.documents == pytest.approx(100, abs=30)
    assert record.held_out.documents + record.train.documents == 400


def test_a_domain_that_leads_out_of_the_pack_is_refused(tokenizer: Path, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"text": "x", "domain": "../up"}')
    with pytest.raises(UserError, match="cannot be a folder"):
        pack([tmp_path / "x.jsonl"], tokenizer, tmp_path / "out", SHARE)


def test_code_and_prose_split_by_different_shares_are_refused(documents: Path, tokenizer: Path, tmp_path: Path) -> None:
    for folder, domain, share in (("a", "python_code", 0.1), ("b", "python_prose", 0.2)):
        report = {"domain": domain, "kept": 1, "settings": {"held_out": share}}
        (documents / folder / "report.json").write_text(json.dumps(report))
    with pytest.raises(UserError, match=r"python_code 0\.1, python_prose 0\.2"):
        pack([documents], tokenizer, tmp_path / "out", SHARE)


# ---- tokenizer -----------------------------------------------------------------------------------------------------


def test_the_tokenizer_is_trained_on_training_documents_alone(tmp_path: Path) -> None:
    write_documents(tmp_path / "one", "a", split="train")
    write_documents(tmp_path / "two", "a", split="train")
    with DocumentWriter(tmp_path / "two" / "more") as writer:
        writer.write(Document("h", "secret " * 1000, "a", "s", split="held_out"))
    for name in ("one", "two"):
        make_tokenizer([tmp_path / name], tmp_path / f"{name}.model", 300, SHARE)
    assert (tmp_path / "one.model").read_bytes() == (tmp_path / "two.model").read_bytes()


def test_the_tokenizer_is_made_once_and_refused_by_name(documents: Path, tmp_path: Path) -> None:
    said: list[str] = []
    output = tmp_path / "t" / "tokenizer.model"
    make_tokenizer([documents], output, 300, SHARE)
    make_tokenizer([documents], output, 300, SHARE, say=said.append)
    assert len(said) == 1 and "nothing to do" in said[0]
    with pytest.raises(UserError, match="vocab_size 300 → 310"):
        make_tokenizer([documents], output, 310, SHARE)
    make_tokenizer([documents], output, 310, SHARE, overwrite=True)
    assert Tokenizer(output).vocab_size == 310
    foreign = tmp_path / "foreign.model"
    foreign.write_text("mine")
    with pytest.raises(UserError, match="not made by this command"):
        make_tokenizer([documents], foreign, 300, SHARE)
    assert foreign.read_text() == "mine"


# ---- prepare, domain=text ------------------------------------------------------------------------------------------


@pytest.fixture
def own_files(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    (folder / "deep").mkdir(parents=True)
    (folder / "book.txt").write_text("\n\n".join(text(i, 60) for i in range(200)), encoding="utf-8")
    (folder / "deep" / "note.md").write_bytes("# Note\r\n\r\nGrüße\r\n".encode())
    (folder / "lines.jsonl").write_text('{"text": "one line"}\n{"text": ""}\n')
    (folder / "empty.txt").write_text(" \n")
    (folder / "latin.txt").write_bytes("Grüße".encode("latin-1"))
    (folder / "image.txt").write_bytes(b"\x89PNG\0\0")
    (folder / "program.exe").write_bytes(b"MZ")
    (folder / ".hidden.txt").write_text("hidden")
    return folder


def test_every_file_is_kept_or_dropped_for_a_reason(own_files: Path, tmp_path: Path) -> None:
    report = prepare("text", own_files, tmp_path / "out", SHARE)
    assert report["dropped"] == {"empty": 2}
    assert report["skipped"]["counts"] == {"binary": 1, "not .txt, .md, .jsonl, .csv or .parquet": 1}
    assert report["read"] == report["kept"] + sum(report["dropped"].values())
    assert report == json.loads((tmp_path / "out" / "report.json").read_text())
    read = list(read_documents(tmp_path / "out"))
    assert len(read) == report["kept"] and {d.split for d in read} == {"train", "held_out"}
    assert report["characters"] == sum(len(d.text) for d in read)
    assert "# Note\r\n\r\nGrüße\r\n" in {d.text for d in read} and "hidden" not in {d.text for d in read}
    book = sorted((d for d in read if d.source == "book.txt"), key=lambda d: (int(d.id.split("#")[1]), "#held" in d.id))
    assert "".join(d.text for d in book) == (own_files / "book.txt").read_text() and len(book) > 3


def test_preparing_twice_does_nothing_and_changed_files_are_refused(own_files: Path, tmp_path: Path) -> None:
    said: list[str] = []
    prepare("text", own_files, tmp_path / "out", SHARE)
    before = tree(tmp_path / "out")
    prepare("text", own_files, tmp_path / "out", SHARE, say=said.append)
    assert len(said) == 1 and "nothing to do" in said[0]
    with pytest.raises(UserError, match=r"held_out 0\.1 → 0\.2"):
        prepare("text", own_files, tmp_path / "out", 0.2)
    (own_files / "new.txt").write_text("new")
    with pytest.raises(UserError, match=r"origin .*overwrite=true"):
        prepare("text", own_files, tmp_path / "out", SHARE)
    assert tree(tmp_path / "out") == before
    assert (
        prepare("text", own_files, tmp_path / "out", SHARE, overwrite=True)["read"]
        > json.loads(before["report.json"])["read"]
    )


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_pieces_put_together_are_the_text(limit: int) -> None:
    for whole in ("", "a", "\n\n\n", "ab\n\ncd\n\n\nef\ngh" * 5, "x" * 50, "\n\nstart", "end\n\n"):
        parts = pieces(whole, limit)
        assert "".join(parts) == whole and all(0 < len(part) <= limit for part in parts)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_however_few_the_files_there_is_something_on_both_sides(tmp_path: Path, count: int) -> None:
    (tmp_path / "own").mkdir()
    for i in range(count):
        (tmp_path / "own" / f"{i}.txt").write_text(text(i) * 20)
    report = prepare("text", tmp_path / "own", tmp_path / "out", 0.05)
    assert set(report["splits"]) == {"train", "held_out"}
    assert report["characters"] == sum(len(text(i) * 20) for i in range(count))
    assert 0.02 < report["splits"]["held_out"]["characters"] / report["characters"] < 0.2


def test_prepare_refuses_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'unicode'"):
        prepare("unicod", None, tmp_path / "out", SHARE)
    with pytest.raises(UserError, match="no such file"):
        prepare("text", tmp_path / "none", tmp_path / "out", SHARE)
    with pytest.raises(UserError, match="needs input=PATH"):
        prepare("text", None, tmp_path / "out", SHARE)
    (tmp_path / "own").mkdir()
    with pytest.raises(UserError, match="empty"):
        prepare("text", tmp_path / "own", tmp_path / "out", SHARE)
    (tmp_path / "own" / "a.txt").write_text(" ")
    with pytest.raises(UserError, match=r"no documents.*1 empty"):
        prepare("text", tmp_path / "own", tmp_path / "out", SHARE)
    assert not (tmp_path / "out").exists()


def test_a_domain_prepared_twice_has_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        prepare("unicode", None, tmp_path / name, SHARE)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


# ---- data=text -----------------------------------------------------------------------------------------------------


def config(source: Path | None, vocab_size: int = 300) -> DataConfig:
    values = {"path": None, "weights": {"text": 1.0}, "sequence_length": 32, "vocab_size": vocab_size, "tokens": 1000}
    values |= {"batch_tokens": 64, "micro_batch": 1, "input": str(source) if source else None}
    return build(DataConfig, values)


def test_ones_own_files_become_shards_once(own_files: Path, tmp_path: Path) -> None:
    said: list[str] = []
    first = ensure_text_shards(config(own_files), tmp_path / "data")
    assert len(open_blocks(first, "text", 32)) > 10 and sum(map(len, held_out_documents(first, "text"))) > 32
    assert ensure_text_shards(config(own_files), tmp_path / "data", said.append) == first
    assert len(said) == 3 and all("nothing to do" in line for line in said)
    assert ensure_text_shards(config(own_files, 310), tmp_path / "data") != first
    (own_files / "book.txt").write_text(text(1) * 500)
    assert ensure_text_shards(config(own_files), tmp_path / "data") != first


def test_a_text_too_short_for_the_vocabulary_is_told_the_largest(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello world\nhow are you\n")
    with pytest.raises(UserError, match=r"data\.vocab_size=4096.*largest that works is \d+"):
        ensure_text_shards(config(tmp_path / "a.txt", 4096), tmp_path / "data")
    with pytest.raises(UserError, match="input=PATH"):
        ensure_text_shards(config(None), tmp_path / "data")
    assert text_domain.NAME == "text"
