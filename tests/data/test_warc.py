"""Damaged files lose what is damaged, with a count and an offset, and nothing else

What a record is, two outsiders say: fastwarc on whole files, and a reader of ten lines on the shared corpora.
"""

import gzip
import io
import re
import zlib
from collections import Counter
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType

from packtrain.data import gzip_members, warc
from packtrain.data.step import Skips
from packtrain.data.warc import records
from tests.data.web import corpus, record

BODIES = [f"record {i} ".encode() * 200 for i in range(5)]
PLAIN = [record(body, url=f"http://x/{i}") for i, body in enumerate(BODIES)]
ZIPPED = [gzip.compress(plain) for plain in PLAIN]
START = [sum(map(len, ZIPPED[:i])) for i in range(6)]


def read(data: bytes) -> tuple[list[int], Skips, list[warc.Record]]:
    """Numbers of the records that came whole, what was skipped, and the records."""
    skips = Skips("file")
    found = list(records(io.BytesIO(data), skips))
    return [BODIES.index(r.body) for r in found if r.body in BODIES], skips, found


def changed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes(b ^ 0xFF for b in data[at : at + 3]) + data[at + 3 :]


@pytest.mark.parametrize(
    "data",
    [b"".join(ZIPPED), b"".join(PLAIN), gzip.compress(b"".join(PLAIN))],
    ids=["a member each", "plain", "one member"],
)
def test_whole_files_are_read_as_fastwarc_reads_them(data: bytes) -> None:
    numbers, skips, found = read(data)
    theirs = [r.reader.read() for r in ArchiveIterator(io.BytesIO(data), record_types=WarcRecordType.any_type)]
    assert [r.body for r in found] == theirs
    assert (numbers, skips.counts) == ([0, 1, 2, 3, 4], Counter())
    assert found[1].headers["warc-target-uri"] == "http://x/1"


def test_the_offset_is_where_the_record_or_its_member_begins() -> None:
    assert [r.offset for r in read(b"".join(ZIPPED))[2]] == START[:5]
    assert [r.offset for r in read(b"".join(PLAIN))[2]] == [sum(map(len, PLAIN[:i])) for i in range(5)]


@pytest.mark.parametrize(
    ("middle", "reason"),
    [
        (changed(ZIPPED[2], 60), "broken gzip member"),
        (changed(ZIPPED[2], len(ZIPPED[2]) - 8), "broken gzip member"),  # its checksum
        (ZIPPED[2][:40], "broken gzip member"),  # cut: it swallows the head of the next
        (b"junk" * 10, "bytes between gzip members"),
    ],
    ids=["a bit", "its checksum", "cut", "junk"],
)
def test_a_broken_member_costs_itself_alone(middle: bytes, reason: str) -> None:
    numbers, skips, _ = read(b"".join([*ZIPPED[:2], middle, *ZIPPED[3:]]))
    assert numbers == [0, 1, 3, 4]
    assert skips.counts == {reason: 1}
    assert (skips.first[0]["file"], skips.first[0]["offset"]) == ("file", START[2])


def test_an_empty_member_and_padding_are_no_end() -> None:
    middle = [gzip.compress(b""), bytes(1000)]
    numbers, skips, _ = read(b"".join([*ZIPPED[:2], *middle, *ZIPPED[2:], bytes(10)]))
    assert (numbers, skips.counts) == ([0, 1, 2, 3, 4], Counter())


def test_a_file_cut_anywhere_keeps_what_came_before_and_says_so() -> None:
    for data, reason in ((b"".join(ZIPPED), "truncated gzip member"), (b"".join(PLAIN), "truncated record")):
        for cut in range(len(data) - 5, len(data) - 150, -9):
            numbers, skips, _ = read(data[:cut])
            assert numbers[:4] == [0, 1, 2, 3]
            assert skips.counts == {reason: 1}


@pytest.mark.parametrize("length", [len(BODIES[2]) + 100, len(BODIES[2]) - 100, 10**15, 10**30, -5, "abc", ""])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_wrong_content_length_costs_nothing(length: object, zipped: bool) -> None:
    parts = [*PLAIN[:2], record(BODIES[2], length=length), *PLAIN[3:]]
    numbers, skips, found = read(b"".join(gzip.compress(p) if zipped else p for p in parts))
    assert (numbers, skips.counts) == ([0, 1, 2, 3, 4], Counter())
    assert [r.mended for r in found] == [False, False, True, False, False]


def test_junk_between_plain_records_is_passed_over_and_counted() -> None:
    numbers, skips, _ = read(b"".join([*PLAIN[:2], b"junk\n" * 10, *PLAIN[3:]]))
    assert numbers == [0, 1, 3, 4]
    assert skips.counts == {"bytes that are no WARC record": 1}
    assert skips.first[0]["offset"] == len(PLAIN[0] + PLAIN[1])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"filedesc://a.arc 127.0.0.1 20140301 text/plain 76\n1 0 Archive\n" * 99, "bytes that are no WARC record"),
        (bytes(range(256)) * 400, "bytes that are no WARC record"),
        (b"x" * 3_000_000, "bytes that are no WARC record"),
        (b"WARC/1.0\r\nA: " + b"x" * 3_000_000, "record header without an end"),
        (b"\x1f\x8b\x08\x00 no gzip at all", "broken gzip member"),
        (b"\x1f\x8b", "bytes between gzip members"),
        (b"WARC/1.0\r\nWARC-Type: conversion", "truncated record"),
    ],
)
def test_what_is_no_warc_gives_nothing_and_one_count(data: bytes, reason: str) -> None:
    _, skips, found = read(data)
    assert not found
    assert skips.counts == {reason: 1}


def test_a_record_larger_than_the_limit_streams_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warc, "LARGEST", 100_000)
    numbers, skips, _ = read(PLAIN[0] + record(b"long " * 100_000) + PLAIN[1])
    assert numbers == [0, 1]
    assert skips.counts == {"record too large": 1}


def test_a_gzip_bomb_is_left_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gzip_members, "BOMB_BYTES", 4 << 20)
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = bomb.compress(record(b"", length=10)[:-4]) + b"".join(bomb.compress(bytes(1 << 20)) for _ in range(30))
    numbers, skips, _ = read(ZIPPED[0] + packed + bomb.flush() + ZIPPED[1])
    assert numbers == [0, 1]
    assert skips.counts["gzip bomb"] == 1


def independent(data: bytes) -> Counter[str]:
    """Counts records by type without knowing about lengths: members inflated by gzip, lines that begin a record."""
    if data.startswith(b"\x1f\x8b"):
        data = gzip.decompress(data)
    kinds = re.findall(rb"^WARC/1\.\d\r?\n(?:[^\r\n]+\r?\n)*?WARC-Type: (\w+)", data, re.MULTILINE)
    return Counter(kind.decode() for kind in kinds)


def test_no_record_of_the_corpora_is_lost() -> None:
    folder = corpus("commoncrawl")
    files = [p for p in sorted(folder.rglob("*")) if re.search(r"\.(warc|wet|wat)", p.name)]
    assert len(files) > 20
    total: Counter[str] = Counter()
    for path in files:
        skips = Skips(path.name)
        with path.open("rb") as file:
            ours = Counter(r.kind for r in records(file, skips))
        assert ours == independent(path.read_bytes()), path
        assert not skips.counts, path
        total += ours
    assert total["conversion"] == 17 and total["response"] > 50


def test_the_sample_with_wrong_lengths_and_bare_line_ends_has_its_three_pages() -> None:
    path: Path = corpus("commoncrawl") / "cc_net/sample.warc.txt"
    with path.open("rb") as file:
        found = list(records(file, Skips(path.name)))
    assert [r.kind for r in found] == ["warcinfo", "conversion", "conversion", "conversion"]
    assert found[1].body.decode().startswith("Famous Mark Twain Quotes\n")
    with path.open("rb") as file:  # what the peers make of it
        assert len([r for r in ArchiveIterator(file) if r.record_type == WarcRecordType.conversion]) == 0
