"""one's own files of every kind, from a folder or a URL, and every nasty among them skipped with its place"""

from __future__ import annotations

import csv
import functools
import gzip
import http.server
import io
import json
import os
import threading
import zlib
from pathlib import Path
from typing import Any

import fsspec
import pytest
import zstandard

from packtrain.data import remote
from packtrain.data.documents import Document, read_documents
from packtrain.data.domains import text
from packtrain.data.limits import TooLarge, decode, is_binary, lines, read_all
from packtrain.data.prepare import PrepareOptions, prepare
from packtrain.data.step import Skips
from packtrain.errors import UserError


def read(path: Path, **parameters: Any) -> tuple[list[Document], Skips]:
    skips = Skips(path.name)
    return list(text.read(path, path.name, text.Parameters(**parameters), skips)), skips


def test_csv_rows_are_documents_with_the_metadata_asked_for(tmp_path: Path) -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([["body", "title", "n"], ['a, "b"\nsecond line', "T", 1], ["ü", "U", 2]])
    for name, data in (
        ("plain.csv", buffer.getvalue().encode("utf-8-sig")),
        ("wide.csv", buffer.getvalue().encode("utf-16")),
        ("packed.csv.gz", gzip.compress(buffer.getvalue().encode())),
    ):
        (tmp_path / name).write_bytes(data)
        found, skips = read(tmp_path / name, text_column="body", metadata_columns=("title",))
        assert [(d.text, d.metadata) for d in found] == [('a, "b"\nsecond line', {"title": "T"}), ("ü", {"title": "U"})]
        assert [d.id for d in found] == [f"{name}:1", f"{name}:2"] and not skips.counts


def test_parquet_rows_are_documents(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"text": ["one", None, "three"], "year": [1, 2, 3], "other": [0, 0, 0]})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    found, skips = read(tmp_path / "t.parquet", metadata_columns=("year", "absent"))
    assert [(d.text, d.metadata) for d in found] == [("one", {"year": 1}), ("three", {"year": 3})]
    assert skips.counts == {"row has no text": 1} and skips.first[0]["offset"] == 2
    _, skips = read(tmp_path / "t.parquet", text_column="txt")
    assert skips.counts == {"no column 'txt'": 1} and "text, year, other" in skips.first[0]["detail"]
    (tmp_path / "t.parquet").write_bytes((tmp_path / "t.parquet").read_bytes()[:-20])
    assert read(tmp_path / "t.parquet")[1].counts == {"damaged parquet": 1}


def test_jsonl_takes_its_text_from_any_field_and_keeps_the_rest(tmp_path: Path) -> None:
    rows = [json.dumps({"content": f"text {i}", "stars": i}) for i in range(3)]
    packed = {".jsonl": bytes, ".jsonl.gz": gzip.compress, ".jsonl.zst": zstandard.ZstdCompressor().compress}
    for suffix, compress in packed.items():
        path = tmp_path / f"rows{suffix}"
        path.write_bytes(compress("\n".join(rows).encode()))
        found, skips = read(path, text_column="content")
        assert [(d.text, d.metadata["stars"]) for d in found] == [(f"text {i}", i) for i in range(3)]
        assert not skips.counts and found[0].id == f"{path.name}:1"


def test_a_jsonl_that_breaks_off_keeps_what_stands_before(tmp_path: Path) -> None:
    data = "\n".join(json.dumps({"text": os.urandom(40).hex()}) for _ in range(3000)).encode()
    for name, packed in (("a.jsonl.gz", gzip.compress(data)), ("a.jsonl.zst", zstandard.compress(data))):
        (tmp_path / name).write_bytes(packed[: len(packed) * 9 // 10])
        found, skips = read(tmp_path / name)
        assert len(found) > 500 and skips.counts["file broken off"] == 1, name


def test_plain_text_in_any_encoding_is_read_and_nasties_are_skipped(tmp_path: Path) -> None:
    german = "Die Straße über die Brücke war nass, und der König fror. Später schien die Sonne wieder. " * 5
    for name, data in {"utf8": german.encode(), "bom": german.encode("utf-8-sig"), "wide": german.encode("utf-16"),
                       "latin": german.encode("latin-1")}.items():  # fmt: skip
        (tmp_path / f"{name}.txt").write_bytes(data)
        (document,), skips = read(tmp_path / f"{name}.txt")
        assert document.text == german and not skips.counts, name
    (tmp_path / "zero.txt").write_bytes(b"")
    assert [d.text for d in read(tmp_path / "zero.txt")[0]] == [""]  # dropped as empty by the step
    for name, data, reason in (
        ("image.txt", b"\x89PNG\0\0", "binary"),
        ("controls.txt", bytes(range(1, 32)) * 50, "binary"),
        ("bomb.txt.gz", gzip.compress(b"a" * (3 << 20)), "too large"),
        ("cut.txt.gz", gzip.compress(os.urandom(5000))[:-300], "file broken off"),
        ("no.txt.gz", b"this is no gzip", "file broken off"),
        ("half.txt", "\ud83dxx".encode("utf-16", "surrogatepass"), "encoding unknown"),
        ("x.exe", b"MZ", text.NOT_KNOWN),
    ):
        (tmp_path / name).write_bytes(data)
        found, skips = read(tmp_path / name, max_mib=1)
        assert (found, dict(skips.counts)) == ([], {reason: 1}), name


def test_a_folder_of_nasties_gives_its_good_documents_and_writes_nowhere_else(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "good.txt").write_text("good text\n" * 20)
    (folder / "sub" / "good.txt").write_text("other good text\n" * 20)
    (folder / "deep.jsonl").write_text("[" * 100_000)
    (folder / "loop").symlink_to(folder)
    (folder / "bad.csv").write_text('text\n"never closed')
    (folder / "z.jsonl.zst").write_bytes(b"no zstd at all")
    before = sorted(p for p in tmp_path.rglob("*") if not p.is_symlink())
    report = prepare("text", folder, tmp_path / "out", 0.1, options=PrepareOptions(processes=0))
    assert {d.source for d in read_documents(tmp_path / "out")} >= {"good.txt", "sub/good.txt"}
    assert report["skipped"]["counts"] == {"file broken off": 1, "line is not JSON": 1}
    after = sorted(p for p in tmp_path.rglob("*") if not p.is_symlink() and (tmp_path / "out") not in (p, *p.parents))
    assert before == after


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_files_at_a_url_are_read(scheme: str, tmp_path: Path) -> None:
    base = f"memory://{tmp_path.name}" if scheme == "memory" else f"file://{tmp_path}/remote"
    for name in ("a.txt", "deep/b.txt", ".hidden.txt"):
        with fsspec.open(f"{base}/{name}", "wt", auto_mkdir=True) as file:  # type: ignore[call-arg]
            file.write(f"text of {name} {scheme}\n" * 30)  # type: ignore[attr-defined]
    report = prepare("text", base, tmp_path / "out", 0.1, options=PrepareOptions(processes=0))
    assert {d.source for d in read_documents(tmp_path / "out")} == {"a.txt", "deep/b.txt"}
    said: list[str] = []
    assert prepare("text", base, tmp_path / "out", 0.1, say=said.append) == report and "nothing to do" in said[0]
    prepare("text", f"{base}/a.txt", tmp_path / "one", 0.1)
    assert {d.source for d in read_documents(tmp_path / "one")} == {"a.txt"}


def test_few_documents_that_are_numbered_alike_are_all_kept_each_once(tmp_path: Path) -> None:
    """Two files that count their lines from 1, as most do: an id tells no document from another."""
    (tmp_path / "own").mkdir()
    wanted = {}
    for name in ("a", "b"):
        body = {n: "\n".join(f"{name} {n} {line}" for line in range(50 if name == "a" else 5 * n)) for n in (1, 2, 3)}
        split = {("a", 3): "held_out", ("b", 3): "train"}
        lines = [{"id": str(n), "text": t, "split": split.get((name, n))} for n, t in body.items()]
        (tmp_path / "own" / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        wanted |= {t: split.get((name, n)) for n, t in body.items()}
    report = prepare("text", tmp_path / "own", tmp_path / "out", 0.3, options=PrepareOptions(processes=0))
    found = {d.text: d.split for d in read_documents(tmp_path / "out")}
    assert report["kept"] == len(found) == 6 and set(found) == set(wanted)
    assert all(found[text] == split for text, split in wanted.items() if split)
    prepare("text", tmp_path / "own", tmp_path / "cut", 0.5, options=PrepareOptions(processes=0))
    lines = [line for d in read_documents(tmp_path / "cut") for line in d.text.splitlines()]
    assert sorted(lines) == sorted(line for text in wanted for line in text.splitlines())


def test_a_page_that_is_one_line_below_its_title_is_not_held_out_whole(tmp_path: Path) -> None:
    whole = "Llamas\n" + "They hum when they are content, and more so when they are not. " * 400
    (tmp_path / "page.jsonl").write_text(json.dumps({"text": whole}) + "\n")
    report = prepare("text", tmp_path / "page.jsonl", tmp_path / "out", 0.05)
    assert 0.03 < report["splits"]["held_out"]["characters"] / len(whole) < 0.06
    found = {d.split: d.text for d in read_documents(tmp_path / "out")}
    assert found["train"] + found["held_out"] == whole and found["train"].endswith(" ")


def test_a_line_of_another_split_is_counted_and_does_not_end_the_work(tmp_path: Path) -> None:
    """Data sets of others have validation and test lines; none of them may slip into training."""
    lines = [{"text": "kept", "split": "train"}, {"text": "not for training", "split": "test"}, {"text": "also kept"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found, skips = read(tmp_path / "a.jsonl")
    assert [d.text for d in found] == ["kept", "also kept"]
    assert skips.counts == {"split is neither train nor held_out": 1} and skips.first[0]["offset"] == 2
    with pytest.raises(UserError, match=r"a\.jsonl: line 2 has split='test'; known: train, held_out"):
        list(read_documents(tmp_path / "a.jsonl"))


@pytest.mark.parametrize("url", ["memory://nowhere/at/all", "nosuch://x/y", "file:///no/such/folder"])
def test_an_unreachable_url_is_answered_in_one_line(url: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"input=.*(cannot be reached|no files there).*check the address"):
        prepare("text", url, tmp_path / "out", 0.1)
    assert not (tmp_path / "out").exists()


def test_lines_are_bounded_and_no_other_is_lost() -> None:
    blocks = [b"one\ntw", b"o\n", b"x" * 50, b"x" * 50 + b"\nthree\n", b"", b"y" * 30, b"\n", b"last"]
    assert list(lines(blocks, 40)) == [b"one", b"two", None, b"three", b"y" * 30, b"last"]
    assert list(lines([b"z" * 99], 40)) == [None] and list(lines([], 40)) == []


def test_reading_all_stops_at_the_limit() -> None:
    assert read_all(io.BytesIO(b"12345"), 5) == b"12345"
    bomb = gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(b"0" * (1 << 24))))
    with pytest.raises(TooLarge):
        read_all(bomb, 1000)  # type: ignore[arg-type]
    assert bomb.tell() == 1001


def test_what_is_binary_and_what_decodes() -> None:
    assert is_binary(b"\x7fELF\0") and is_binary(zlib.compress(os.urandom(4000))) and not is_binary(b"plain\ttext\r\n")
    assert not is_binary("wide".encode("utf-16"))
    assert decode("Grüße".encode()) == ("Grüße", "utf-8") and decode(b"") == ("", "utf-8")
    assert decode("слово".encode("koi8-r"), "koi8-r") == ("слово", "koi8-r")
    assert decode(b"\xff\xfea") is None and decode(b"a\0b\xff") is None
    assert decode("日本".encode("utf-8-sig")) == ("日本", "utf-8-sig")
    assert (decode("caf\u00e9".encode("latin-1"), "no-such-encoding") or ("",))[0] != ""


def test_over_http_a_dead_server_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "www/sub").mkdir(parents=True)
    (tmp_path / "www/none").mkdir()
    (tmp_path / "www/sub/a.txt").write_text("text")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        at = f"http://127.0.0.1:{server.server_address[1]}"
        for folder in ("sub", "sub/", "sub/a.txt", ""):
            assert remote.find(f"{at}/{folder}") == [f"{at}/sub/a.txt"], "the list of a folder is no text"
        for nothing in ("none", "none/", "sub/b.txt"):
            with pytest.raises(UserError, match=f"input={at}/{nothing}: no files there; check the address"):
                remote.find(f"{at}/{nothing}")
        server.shutdown()
    with pytest.raises(UserError, match=rf"input={at}/sub: cannot be reached \(Cannot connect to host 127.0.0.1"):
        remote.find(f"{at}/sub")
