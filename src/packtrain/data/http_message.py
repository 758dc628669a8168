"""WARC response: status line, headers, body ─chunked, gzip, deflate, br→ Page(mime, charset, bytes) ─decode→ str

Servers lie: a body may say "chunked" and not be, chunk sizes may be wrong, compression may be claimed and absent. What
cannot be undone is left as it is; what grows beyond `LARGEST` is refused (a bomb).

The charset, as a browser would: byte order mark, HTTP header, <meta>; but UTF-8 that decodes without an error is UTF-8
whatever was said, and what was said wrongly is found by the detector (uchardet, which resiliparse brings).
"""

from __future__ import annotations

import codecs
import re
import zlib
from dataclasses import dataclass

LARGEST = 64 << 20  # bytes of a page when it is unpacked
BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([^\s\"';,/>]+)", re.IGNORECASE)
META = re.compile(rb"<meta[^>]{0,300}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{2,40})", re.IGNORECASE)
HEADER_END = re.compile(rb"\r?\n\r?\n")
# What the Web's labels mean to a browser (encoding.spec.whatwg.org), where Python means something else.
WEB = {"iso-8859-1": "cp1252", "latin1": "cp1252", "latin-1": "cp1252", "us-ascii": "cp1252", "ascii": "cp1252",
       "iso8859-1": "cp1252", "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "shift-jis": "cp932",
       "sjis": "cp932", "x-sjis": "cp932", "ks_c_5601-1987": "cp949", "euc-kr": "cp949", "iso-8859-9": "cp1254",
       "tis-620": "cp874", "windows-874": "cp874", "unicode": "utf-16-le"}  # fmt: skip


@dataclass(frozen=True)
class Response:
    """An HTTP response without its transfer and content encodings."""

    status: int
    mime: str  # "text/html", lower case; "" where the server did not say
    charset: str | None
    body: bytes


def parse(message: bytes) -> Response:
    """The response in a record's body. Raises ValueError in words where it is none, or a bomb."""
    if not message.startswith(b"HTTP/"):
        raise ValueError("no HTTP response")
    end = HEADER_END.search(message, 0, 1 << 20)
    head, body = (message, b"") if end is None else (message[: end.start()], message[end.end() :])
    lines = head.decode("latin-1").splitlines()
    words = lines[0].split(maxsplit=2)
    status = int(words[1]) if len(words) > 1 and words[1].isascii() and words[1].isdigit() else 0
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), value.strip())
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body = unchunk(body)
    for coding in reversed(headers.get("content-encoding", "").lower().split(",")):
        body = unpack(body, coding.strip())
    kind = headers.get("content-type", "")
    found = CHARSET.search(kind)
    return Response(status, kind.partition(";")[0].strip().lower(), found[1] if found else None, body)


def unchunk(body: bytes) -> bytes:
    """The chunks put together; from the first wrong one on the rest as it is, and all of it where there is none."""
    parts: list[bytes] = []
    at = 0
    while at < len(body):
        line_end = body.find(b"\n", at, at + 1024)
        size = body[at : max(line_end, at)].partition(b";")[0].strip()
        if line_end < 0 or not re.fullmatch(rb"[0-9A-Fa-f]{1,12}", size):
            parts.append(body[at:])  # this is no chunk
            break
        length = int(size, 16)
        if length == 0:
            break
        parts.append(body[line_end + 1 : line_end + 1 + length])
        at = line_end + 1 + length
        at += 2 if body[at : at + 2] == b"\r\n" else body[at : at + 1] == b"\n"
    return b"".join(parts)


def unpack(body: bytes, coding: str) -> bytes:
    """Without its content encoding; as it is where it was not encoded or cannot be read; cut where the data is cut."""
    if coding in ("gzip", "x-gzip"):
        return _inflate(body, (31,)) if body.startswith(b"\x1f\x8b") else body
    if coding == "deflate":
        return _inflate(body, (15, -15))
    if coding == "br" and body.lstrip()[:1] != b"<":
        import brotli  # comes with fastwarc

        try:
            decoder, parts, total, data = brotli.Decompressor(), [], 0, body
            while not decoder.is_finished():
                part = decoder.process(data, output_buffer_limit=1 << 20)
                data, total = b"", total + len(part)
                _limit(total)
                if not part:
                    break
                parts.append(part)
        except brotli.error:
            return body
        return b"".join(parts)
    return body


def _inflate(body: bytes, ways: tuple[int, ...]) -> bytes:
    for way in ways:
        inflate = zlib.decompressobj(way)
        try:
            plain = inflate.decompress(body, LARGEST + 1)
        except zlib.error:
            continue
        _limit(len(plain))
        return plain
    return body


def _limit(size: int) -> None:
    if size > LARGEST:
        raise ValueError("compressed page too large")


def decode(body: bytes, charset: str | None = None, html: bool = True) -> str:
    """`body` as text; `charset` is what the HTTP header says. Never raises: what no charset explains becomes U+FFFD."""
    for mark, name in BOMS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, "replace")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        utf8_to = error.start
    meta = META.search(body, 0, 4096) if html else None
    for name in (charset, meta[1].decode("ascii") if meta else None):
        if name and (text := _decoded(body, name)) is not None:
            return text
    if utf8_to > 0.999 * len(body) or _mostly_utf8(body):
        return body.decode("utf-8", "replace")
    return _decoded(body, _detected(body)) or body.decode("cp1252", "replace")


def _decoded(body: bytes, name: str) -> str | None:
    name = name.strip().lower()
    try:
        codec = codecs.lookup(WEB.get(name, name))
        if codec.name in ("utf-8", "utf-7") or not getattr(codec, "_is_text_encoding", True):
            return None  # it is no UTF-8, that was tried; UTF-7 no browser reads
        text = body.decode(codec.name, "replace")
    except (LookupError, UnicodeError, ValueError):
        return None
    return text if text.count("\ufffd") <= max(len(text) // 100, 2) else None


def _mostly_utf8(body: bytes) -> bool:
    """A few bytes cut or pasted in, as templates do, do not make a UTF-8 page another."""
    text = body.decode("utf-8", "replace")
    right = sum(not c.isascii() for c in text) - (wrong := text.count("\ufffd"))
    return right > 10 * wrong


def _detected(body: bytes) -> str:
    from resiliparse.parse.encoding import detect_encoding

    return detect_encoding(body) or "cp1252"
