"""What servers get wrong: chunks, compression, charsets"""

import gzip
import zlib

import brotli
import pytest

from packtrain.data import http_message
from packtrain.data.http_message import decode, parse, unchunk
from tests.data.web import response

GERMAN = "<p>Grüße aus Köln, schöne Straße, für alle Bücher über Wälder</p>" * 3
RUSSIAN = "<p>Быстрая коричневая лиса прыгает через ленивую собаку</p>" * 5


def test_chunks_are_put_together_and_wrong_ones_left_as_they_are() -> None:
    assert unchunk(b"4\r\nWiki\r\n6;name=x\r\npedia \r\n0\r\n\r\n") == b"Wikipedia "
    assert unchunk(b"<html>not chunked</html>") == b"<html>not chunked</html>"
    assert unchunk(b"4\r\nWiki\r\nzz\r\npedia") == b"Wikizz\r\npedia"
    assert unchunk(b"ffff\r\ncut off") == b"cut off"
    assert unchunk(b"") == b""


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda b: zlib.compress(b)[2:-4]),  # raw, as some servers send it
        ("br", brotli.compress),
        ("gzip", bytes),  # claimed, and not so
        ("br", bytes),
        ("identity", bytes),
    ],
)
def test_compressed_bodies_are_unpacked(coding: str, pack) -> None:
    page = b"<html>" + b"llama " * 500
    found = parse(response(pack(page), f"Content-Type: text/html; charset=utf-8\r\nContent-Encoding: {coding}\r\n"))
    assert (found.status, found.mime, found.charset, found.body) == (200, "text/html", "utf-8", page)


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("br", brotli.compress)])
def test_a_compressed_bomb_is_refused(coding: str, pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_message, "LARGEST", 1 << 20)
    with pytest.raises(ValueError, match="compressed page too large"):
        parse(response(pack(bytes(8 << 20)), f"Content-Encoding: {coding}\r\n"))


def test_what_is_no_response_is_said() -> None:
    for message in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\0\1"):
        with pytest.raises(ValueError, match="no HTTP response"):
            parse(message)
    assert parse(b"HTTP/1.1").status == 0


@pytest.mark.parametrize(
    ("text", "charset", "header"),
    [
        (GERMAN, "utf-8", None),
        (GERMAN, "utf-8", "iso-8859-1"),  # said wrongly
        (GERMAN, "iso-8859-1", "iso-8859-1"),
        (GERMAN, "cp1252", None),  # not said
        (GERMAN, "iso-8859-1", "utf-8"),  # said wrongly
        (GERMAN, "iso-8859-1", "no-such-charset"),
        (RUSSIAN, "cp1251", "windows-1251"),
        (RUSSIAN, "cp1251", None),
        (RUSSIAN, "koi8-r", None),
        ("“Quoted”, she said – twice", "cp1252", "iso-8859-1"),  # as browsers take latin-1
        ("\ufeff" + GERMAN, "utf-16-le", "utf-8"),
        ("\ufeff" + GERMAN, "utf-8", None),
    ],
)
def test_the_charset_is_found(text: str, charset: str, header: str | None) -> None:
    assert decode(text.encode(charset), header) == text.lstrip("\ufeff")


def test_the_charset_of_a_meta_tag_counts() -> None:
    page = f'<html><head><meta charset="windows-1251"></head>{RUSSIAN}'
    assert decode(page.encode("cp1251")) == page
    assert decode(b'<meta charset="rot13">\xff\xfe\xfd' + GERMAN.encode("cp1252"))


def test_a_stray_byte_does_not_turn_utf8_into_something_else() -> None:
    page = GERMAN.encode() * 5
    assert decode(page[:500] + b"\xe4" + page[500:]).count("ü") > 30
