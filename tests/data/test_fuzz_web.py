"""Any bytes at all: records, messages and pages come out or are counted, nothing raises, nothing hangs

PACKTRAIN_FUZZ_SECONDS=600 makes it search for so long, each test a third; the everyday run takes seconds.
"""

import gzip
import io
import os
import random
import time

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from packtrain.data import http_message, web_pages
from packtrain.data.domains import common_crawl
from packtrain.data.repeated_lines import RepeatedLines
from packtrain.data.sentences import sentences
from packtrain.data.step import Skips, Tally
from packtrain.data.warc import records
from tests.data.web import document, record, response

SECONDS = float(os.environ.get("PACKTRAIN_FUZZ_SECONDS", "0")) / 3
EXAMPLES = 10**7 if SECONDS else 60
quick = settings(
    max_examples=EXAMPLES,
    deadline=20_000,
    suppress_health_check=list(HealthCheck),
    database=None,
    derandomize=not SECONDS,
)
BEGAN: dict[str, float] = {}


def time_is_up(name: str) -> bool:
    """In a long search, after its seconds, examples pass at once."""
    return bool(SECONDS) and time.monotonic() - BEGAN.setdefault(name, time.monotonic()) > SECONDS


PARTS = [
    b"WARC/1.0\r\n", b"WARC/1.1\n", b"WARC-Type: response\r\n", b"WARC-Type: conversion\n", b"\r\n\r\n", b"\n\n",
    b"Content-Length: 10\r\n", b"Content-Length: 99999999999\r\n", b"Content-Length: -1\r\n", b"HTTP/1.1 200 OK\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: br\r\n", b"Content-Encoding: gzip\r\n", b"a\r\n", b"\0" * 40,
    b"0\r\n\r\n", b"\x1f\x8b\x08\0", b"<meta charset=utf-16>", b"Content-Type: text/html; charset=utf-7\r\n", b"<p>",
    b"</p>", b"<!--", b"<table>" * 9, b"\xff\xfe",
]  # fmt: skip
pieces = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(PARTS),
    st.text(max_size=40).map(lambda t: t.encode("utf-8", "surrogatepass")),
)
noise = st.lists(pieces, max_size=30).map(b"".join)


@given(st.lists(st.tuples(noise, st.integers(0, 5), st.integers(0, 400)), max_size=6))
@quick
def test_files_of_any_bytes(parts: list[tuple[bytes, int, int]]) -> None:
    """Each part plain, packed, packed as a record, broken inside, or cut."""
    if time_is_up("files"):
        return
    data = b""
    for body, how, at in parts:
        made = record(body, random.Random(at).choice(["response", "conversion", "odd"])) if how >= 2 else body
        made = gzip.compress(made) if how in (1, 3, 4, 5) else made
        made = made[: at % (len(made) + 1)] if how == 4 else made
        made = made[:at] + b"\xff\x00" + made[at + 2 :] if how == 5 else made
        data += made
    skips = Skips("fuzz")
    found = list(records(io.BytesIO(data), skips))
    assert all(isinstance(r.offset, int) and 0 <= r.offset <= len(data) for r in found)
    if not found and data.strip(b"\r\n\0 \t") and data != gzip.compress(b""):
        assert skips.counts or not _any_plain(data), data
    for r in found:
        text = web_pages._text(r, "main", skips)
        assert text is None or isinstance(text, str)


def _any_plain(data: bytes) -> bool:
    """Whether there is anything in it that is no blank, once gzip is off; True where gzip does not know."""
    try:
        return bool(gzip.decompress(data).strip(b"\r\n\0 \t")) if data.startswith(b"\x1f\x8b") else True
    except (OSError, EOFError):
        return True


@given(st.lists(st.tuples(noise, st.booleans()), min_size=1, max_size=5), st.binary(max_size=50))
@quick
def test_whole_records_stay_whole_whatever_lies_between(parts: list[tuple[bytes, bool]], junk: bytes) -> None:
    """Members between which junk lies: each that is whole comes out as it was made."""
    if time_is_up("whole"):
        return
    bodies = [b"page %d: " % i + body.replace(b"WARC/", b"") for i, (body, _) in enumerate(parts)]
    data = b"".join(
        gzip.compress(record(body)) + (junk if junked else b"") for body, (_, junked) in zip(bodies, parts, strict=True)
    )
    found = [r.body for r in records(io.BytesIO(data), Skips("fuzz"))]
    if b"\x1f\x8b" not in junk:
        assert found == bodies


@given(noise, st.sampled_from(["", "gzip", "br", "deflate"]), st.sampled_from([None, "utf-8", "utf-16", "x", "big5"]))
@quick
def test_messages_pages_and_lines_of_any_bytes(body: bytes, coding: str, charset: str | None) -> None:
    if time_is_up("messages"):
        return
    headers = f"Content-Encoding: {coding}\r\nContent-Type: text/html; charset={charset}\r\n"
    for message in (body, response(body, headers), response(body, "Transfer-Encoding: chunked\r\n")):
        try:
            page = http_message.parse(message)
        except ValueError:
            continue
        text = http_message.decode(page.body, page.charset)
        line = web_pages.html_text(text)
        assert "".join("".join(sentences(line)).split()) == "".join(line.split())
        step = RepeatedLines(min_characters=0)
        pages = [document(line, "1"), document(text, "2")]
        list(step.apply(pages, step.collect(pages), Tally("t")))
        list(common_crawl.Parameters().language(pages, Tally("t")))
