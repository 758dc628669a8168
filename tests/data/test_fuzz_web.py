"""Any bytes at all: records, messages and pages come out or are counted, nothing raises, nothing hangs

PACKTRAIN_FUZZ_SECONDS=600 python -m pytest -m slow tests/data/test_fuzz_web.py hunts ten minutes in each of the three.
"""

import gzip
import io
import random

import pytest
from hypothesis import strategies as st

from packtrain.data import http_message, web_pages
from packtrain.data.domains import common_crawl
from packtrain.data.hash_ranges import Decision
from packtrain.data.repeated_lines import RepeatedLines
from packtrain.data.sentences import sentences
from packtrain.data.step import Skips, Tally
from packtrain.data.warc import records
from tests.data.fuzzing import hunt, try_some
from tests.data.web import document, record, response

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


def files_of_any_bytes(parts: list[tuple[bytes, int, int]]) -> None:
    """Each part plain, packed, packed as a record, broken inside, or cut."""
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


def whole_records_stay_whole(example: tuple[list[tuple[bytes, bool]], bytes]) -> None:
    """Members between which junk lies: each that is whole comes out as it was made."""
    parts, junk = example
    bodies = [b"page %d: " % i + body.replace(b"WARC/", b"") for i, (body, _) in enumerate(parts)]
    data = b"".join(
        gzip.compress(record(body)) + (junk if junked else b"") for body, (_, junked) in zip(bodies, parts, strict=True)
    )
    found = [r.body for r in records(io.BytesIO(data), Skips("fuzz"))]
    if b"\x1f\x8b" not in junk:
        assert found == bodies


def messages_pages_and_lines(example: tuple[bytes, str, str | None]) -> None:
    """An HTTP message of any bytes, and its page through every step."""
    body, coding, charset = example
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
        list(step.apply(pages, Decision([step.collect(pages)]), Tally("t")))
        list(common_crawl.Parameters().language(pages, Tally("t")))


CASES = [
    pytest.param(
        st.lists(st.tuples(noise, st.integers(0, 5), st.integers(0, 400)), max_size=6), files_of_any_bytes, id="files"
    ),
    pytest.param(
        st.tuples(st.lists(st.tuples(noise, st.booleans()), min_size=1, max_size=5), st.binary(max_size=50)),
        whole_records_stay_whole,
        id="whole records",
    ),
    pytest.param(
        st.tuples(noise, st.sampled_from(["", "gzip", "br", "deflate"]),
                  st.sampled_from([None, "utf-8", "utf-16", "x", "big5"])),
        messages_pages_and_lines,
        id="messages",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("strategy", "check"), CASES)
def test_nothing_raises_and_nothing_whole_is_lost(strategy, check) -> None:
    try_some(strategy, check, 60)


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "check"), CASES)
def test_a_long_hunt_finds_nothing(strategy, check) -> None:
    tried = hunt(strategy, check)
    print(f"{check.__name__}: {tried} tried")
    assert tried > 0
