"""what the readers meet in files of others' making: counted, never a crash, never other text than what stands there"""

from __future__ import annotations

import bz2
import gzip
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from packtrain.data import tables
from packtrain.data.documents import read_documents
from packtrain.data.domains.stack_exchange import DOMAIN as STACK_EXCHANGE
from packtrain.data.domains.stack_exchange import Parameters as Sites
from packtrain.data.domains.text import DOMAIN as TEXT
from packtrain.data.domains.wikipedia import DOMAIN as WIKIPEDIA
from packtrain.data.prepare import PrepareOptions, prepare
from packtrain.errors import Failure, UserError
from packtrain.jobs.report import about_documents
from tests.data.run_domain import made


def test_utf8_csv_whose_first_block_ends_in_half_a_character_stays_utf8(tmp_path: Path) -> None:
    rows = "\n".join(f"{i},Größe für schöne Bücher über Übermut" for i in range(4000))
    for pad in range(4):
        path = tmp_path / f"{pad}.csv"
        path.write_text(f"id{'x' * pad},text\n{rows}\n", encoding="utf-8")
    found = made(TEXT, tmp_path, tmp_path)
    assert {document.text for document in found.raw} == {"Größe für schöne Bücher über Übermut"}
    assert len(found.raw) == 16_000


def test_large_utf16_csv_and_rows_in_another_encoding(tmp_path: Path) -> None:
    rows = "\n".join(f"{i},schöne Bücher" for i in range(4000))
    (tmp_path / "wide.csv").write_bytes(f"id,text\n{rows}\n".encode("utf-16"))
    (tmp_path / "mixed.csv").write_bytes(f"id,text\n{rows}\n".encode() + "1,Größe\n".encode("latin-1"))
    found = made(TEXT, tmp_path, tmp_path)
    assert {document.text for document in found.raw} == {"schöne Bücher"} and len(found.raw) == 8000
    assert found.skips.first == [
        {"reason": "row is not in the encoding of its file", "file": "mixed.csv", "offset": 4001, "detail": "utf-8"}
    ]


def test_a_csv_line_without_end_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "LONGEST_LINE", 1 << 16)
    (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(b"text\none line\n" + b"a" * (1 << 20)))
    found = made(TEXT, tmp_path, tmp_path)
    assert [document.text for document in found.raw] == ["one line"]
    assert found.skips.counts == {"line too long": 1}


def test_rows_before_the_break_of_a_packed_csv_are_read(tmp_path: Path) -> None:
    rows = "\n".join(os.urandom(20).hex() for _ in range(5000))
    (tmp_path / "torn.csv.gz").write_bytes(gzip.compress(f"text\n{rows}\n".encode())[:-3000])
    found = made(TEXT, tmp_path, tmp_path)
    assert len(found.raw) > 4000 and {document.text for document in found.raw[:-1]} < set(rows.split())
    assert found.skips.counts == {"file broken off": 1}


def test_fields_of_other_types_than_ours_go_to_the_metadata(tmp_path: Path) -> None:
    line = {"text": "a page of words", "language": {"en": 0.98}, "url": ["a", "b"], "licence": 4}
    (tmp_path / "a.jsonl").write_text(json.dumps(line) + "\n")
    report = prepare("text", tmp_path, tmp_path / "out", 0.1)
    assert report["after"]["languages"] == {"unknown": 1}
    (document,) = read_documents(tmp_path / "out")
    assert (document.language, document.url, document.licence) == (None, None, None)
    assert document.metadata == {"language": {"en": 0.98}, "url": ["a", "b"], "licence": 4}


@pytest.mark.parametrize("content", [b"", b"\x93\x00\xff" * 5000, b"<posts></posts>"])
def test_a_dump_of_posts_without_a_row_is_counted(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "beer.stackexchange.com"
    folder.mkdir()
    (folder / "Posts.xml").write_bytes(content)
    found = made(STACK_EXCHANGE, tmp_path, tmp_path, Sites(sites="all"))
    assert (found.raw, dict(found.skips.counts)) == ([], {"no rows in the file": 1})


@pytest.mark.parametrize("pack", [bz2.compress, gzip.compress])
def test_a_truncated_dump_is_read_up_to_the_break(tmp_path: Path, pack: object) -> None:
    page = "<page><title>T{0}</title><ns>0</ns><id>{0}</id><revision><text>{1}</text></revision></page>"
    words = [os.urandom(300).hex() for _ in range(6000)]
    xml = "<mediawiki>" + "".join(page.format(i, word) for i, word in enumerate(words)) + "</mediawiki>"
    packed = pack(xml.encode())  # type: ignore[operator]
    (tmp_path / "enwiki.xml.bz2").write_bytes(packed[: len(packed) * 9 // 10])
    found = made(WIKIPEDIA, tmp_path, tmp_path)
    # bzip2 can be read block by block alone, and a block is 900 kB of text
    assert len(found.raw) > (4400 if pack is bz2.compress else 5300)
    assert found.raw[-1].text in words and found.skips.counts["the file breaks off"] == 1


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    text = "some words of no great interest\n\n" * 40
    for number in range(2100):  # of a thousand files a unit is
        (tmp_path / f"{number}.txt").write_text(text)
    code = (
        "import sys; from pathlib import Path; from packtrain.data.prepare import PrepareOptions, prepare\n"
        "if __name__ == '__main__':\n"
        "    prepare('text', Path(sys.argv[1]), Path(sys.argv[2]), 0.1, options=PrepareOptions(processes=2))\n"
    )
    script = tmp_path / ".job.py"
    script.write_text(code)
    job = subprocess.Popen([sys.executable, script, tmp_path, tmp_path / ".out"], stdout=subprocess.DEVNULL)
    workers: list[int] = []
    end = time.monotonic() + 60
    while len(workers) < 2 and time.monotonic() < end and job.poll() is None:
        workers = [pid for pid in _children(job.pid) if "spawn_main" in _command(pid)]
        time.sleep(0.02)
    assert len(workers) == 2
    time.sleep(0.3)
    job.send_signal(signal.SIGKILL)
    job.wait()
    while any("spawn_main" in _command(pid) for pid in workers) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any("spawn_main" in _command(pid) for pid in workers)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_a_list_of_words_that_was_changed_makes_other_documents(tmp_path: Path) -> None:
    pages, words = tmp_path / "pages", tmp_path / "words.txt"
    pages.mkdir()
    text = "The dog runs over the hill. The cat sleeps in the sun. The bird sings in the old tree."
    (pages / "a.jsonl").write_text(json.dumps({"text": text}) + "\n" + json.dumps({"text": text.replace("dog", "fox")}))
    domain = {"name": "c4", "bad_words": {"path": str(words)}, "repeated_spans": {"length": 0}}
    words.write_text("wolf\n")
    assert prepare(domain, pages, tmp_path / "out", 0.5)["kept"] == 2
    said: list[str] = []
    prepare(domain, pages, tmp_path / "out", 0.5, say=said.append)
    assert "nothing to do" in said[0]
    words.write_text("dog\n")
    with pytest.raises(UserError, match=r"made with other settings \(models"):
        prepare(domain, pages, tmp_path / "out", 0.5)
    assert prepare(domain, pages, tmp_path / "out", 0.5, overwrite=True)["kept"] == 1


def test_names_that_are_no_text_and_controls_in_names(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/in"
    os.mkdir(folder)
    for name, content in ((b"caf\xe9.txt", b"one"), (b"caf\xe8.txt", b"two"), (b"\x1b[31m\n.txt", b"\0")):
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(content)
    line = {"text": "three", "id": "x\ud800", "more": ["\udfff"]}
    (tmp_path / "in" / "j.jsonl").write_text(json.dumps(line) + "\n")
    said: list[str] = []
    prepare("text", tmp_path / "in", tmp_path / "out", 0.5, say=said.append)
    found = {document.text: document for document in read_documents(tmp_path / "out")}
    assert found["one"].id == "caf\\udce9.txt" and found["two"].id == "caf\\udce8.txt"
    assert found["three"].id == "x\\ud800" and found["three"].metadata == {"more": ["\ufffd"]}
    assert any("\\x1b[31m\\n.txt" in text for text in said) and not any("\x1b" in text for text in said)
    about_documents([str(tmp_path / "out")], None)


def test_a_full_temporary_disk_ends_the_work_and_publishes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in" / "beer.stackexchange.com"
    folder.mkdir(parents=True)
    row = '<row Id="{0}" PostTypeId="1" Title="t{0}" Body="{1}" />'
    (folder / "Posts.xml").write_text("".join(row.format(i, "long words " * 200) for i in range(2000)))
    connect = sqlite3.connect

    def small(*arguments: Any, **options: Any) -> sqlite3.Connection:
        db = connect(*arguments, **options)
        db.execute("PRAGMA max_page_count=100")
        return db

    monkeypatch.setattr(sqlite3, "connect", small)
    domain = {"name": "stack_exchange", "sites": "all"}
    with pytest.raises(Failure, match=r"full.*TMPDIR"):
        prepare(domain, tmp_path / "in", tmp_path / "out", 0.5, options=PrepareOptions(processes=0))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_files_that_a_domain_does_not_take_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.jsonl", "c4.utf8", "b.parquet", ".hidden"):
        (folder / name).write_text(json.dumps({"text": "One line of English words. " * 9, "licence": "CC0"}) + "\n")
    said: list[str] = []
    domain = {"name": "c4", "repeated_spans": {"length": 0}}
    report = prepare(domain, folder, tmp_path / "out", 0.5, say=said.append)
    assert report["not_read"] == {"count": 2, "first": ["b.parquet", "c4.utf8"]}
    assert any("not read" in line and "c4.utf8" in line for line in said)
    assert {document.licence for document in read_documents(tmp_path / "out")} == {"CC0"}
