"""dump (bz2, gz, xz or plain; any encoding) → blocks of UTF-8 → <page>…</page> → Page, in memory bounded by one page

A scanner of its own, not an XML parser: a dump is flat, its entities are the five of XML and numbers, and a damaged or
truncated one is read up to the break. Nothing is ever expanded, so entity bombs cannot go off; a file that declares
entities is refused, for no dump does. Offsets count bytes of the decompressed dump.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packtrain.data.files import BROKEN, opened
from packtrain.data.limits import blocks_of, gathered
from packtrain.data.step import Skips

BLOCK = 1 << 20
HEAD = 1 << 16  # siteinfo is looked for in so many bytes
MARKS = {codecs.BOM_UTF32_LE: "utf-32-le", codecs.BOM_UTF32_BE: "utf-32-be", codecs.BOM_UTF8: "utf-8",
         codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be", b"<\0\0\0": "utf-32-le",
         b"<\0": "utf-16-le", b"\0<": "utf-16-be", b"\0\0\0<": "utf-32-be"}  # fmt: skip
DECLARED = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
TITLE, NUMBER = re.compile(r"<title>([^<]*)</title>"), re.compile(r"<id>\s*(\d{1,18})\s*</id>")
NAMESPACE, MODEL = re.compile(r"<ns>\s*(-?\d{1,9})\s*</ns>"), re.compile(r"<model>\s*([^<]{0,100}?)\s*</model>")
TEXT = re.compile(r"<text(?:\s[^<>]*?)?(/?)>")
ENTITY = re.compile(r"&#(?:(\d{1,7})|[xX]([0-9a-fA-F]{1,6}));")
SITE_NAMESPACE = re.compile(r'<namespace key="(-?\d+)"[^>]*>([^<]+)</namespace>')


@dataclass(frozen=True)
class Page:
    """`text` is wikitext; of several revisions the last. `bad_bytes`: how many could not be decoded."""

    title: str
    number: str
    namespace: int
    redirect: bool
    model: str
    text: str
    offset: int
    bad_bytes: int


def names_of(head: bytes, keys: tuple[int, ...]) -> set[str]:
    """The names, in lower case, that the siteinfo at the head of a dump gives to these namespaces."""
    found = SITE_NAMESPACE.findall(head.decode("utf-8", "replace"))
    return {unescape(name).strip().lower() for key, name in found if int(key) in keys}


def blocks(path: Path, skips: Skips) -> Iterator[bytes]:
    """The dump as UTF-8, about a MiB at a time; ends at the break where the file has one, and counts it."""
    decoder, encoding, done = None, None, 0
    try:
        with opened(path) as file:
            for block in gathered(blocks_of(file, BLOCK), BLOCK):
                if encoding is None:
                    encoding = encoding_of(block)
                    if encoding != "utf-8":
                        decoder = codecs.getincrementaldecoder(encoding)("replace")
                    block = block.removeprefix(codecs.BOM_UTF8)
                done += len(block)
                yield decoder.decode(block).encode("utf-8", "replace") if decoder else block
    except BROKEN as error:
        skips.skip("the file breaks off", done, f"{type(error).__name__}: {error}")


def encoding_of(block: bytes) -> str:
    """By the byte order mark, the shape of the first character, or the declaration; else UTF-8."""
    for mark, name in MARKS.items():
        if block.startswith(mark):
            return name
    if found := DECLARED.match(block[:400]):
        try:
            name = codecs.lookup(found[1].decode()).name
            "".encode(name)  # a text encoding, not rot13 or zlib
            return "utf-8" if name == "ascii" else name
        except (LookupError, ValueError):
            return "utf-8"
    return "utf-8"


def pages(parts: Iterator[bytes], skips: Skips, largest: int) -> Iterator[Page]:
    """Every page of a dump. Skipped and counted: pages over `largest` bytes, cut or without a title or text."""
    buffer, base, seen = b"", 0, False  # `base`: offset of the buffer's first byte
    for block in parts:
        buffer += block
        place = 0
        while (start := buffer.find(b"<page>", place)) >= 0 and (end := buffer.find(b"</page>", start)) >= 0:
            seen = True
            if (last := buffer.rfind(b"<page>", start, end)) > start:
                skips.skip("page without an end", base + start)  # the ones before the last never ended
            if end - last > largest:
                skips.skip("page too large", base + last, f"{end - last} bytes")
            elif page := _page(buffer[last:end], base + last, skips):
                yield page
            place = end + len(b"</page>")
        keep = start if start >= 0 else max(place, len(buffer) - len(b"<page>") + 1)
        if len(buffer) - keep > largest:  # no end in sight: let go of it, or memory would follow
            skips.skip("page too large", base + keep, f"over {largest} bytes")
            keep = len(buffer) - len(b"</page>")
        base, buffer = base + keep, buffer[keep:]
    if buffer.startswith(b"<page>"):
        skips.skip("page cut by the end of the file", base)
    elif not seen:
        skips.skip("no pages in the file", 0)


def _page(raw: bytes, offset: int, skips: Skips) -> Page | None:
    try:
        xml, bad = raw.decode("utf-8"), 0
    except UnicodeDecodeError:
        xml = raw.decode("utf-8", "replace")
        bad = xml.count("\ufffd")
    opening = TEXT.match(xml, max(xml.rfind("<text"), 0))  # of several revisions the last
    title, number, namespace = TITLE.search(xml), NUMBER.search(xml), NAMESPACE.search(xml)
    if not title or not number or not opening:
        skips.skip("page without a title, number or text", offset)
        return None
    end = xml.find("</text>", opening.end())
    if opening[1]:
        text = ""
    elif end < 0:
        skips.skip("page without the end of its text", offset)
        return None
    else:
        text = unescape(xml[opening.end() : end])
    head = xml[: opening.start()]
    model = MODEL.search(head)
    return Page(
        unescape(title[1]).strip(), number[1], int(namespace[1]) if namespace else 0, "<redirect" in head,
        model[1] if model else "wikitext", text, offset, bad,
    )  # fmt: skip


def unescape(text: str) -> str:
    """XML's five entities and its numbers, once; nothing else is an entity here."""
    if text.startswith("<![CDATA["):
        return text[9:].removesuffix("]]>")
    if "&" not in text:
        return text
    if "&#" in text:
        text = ENTITY.sub(_character, text)
    text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&apos;", "'")
    return text.replace("&amp;", "&")


def _character(match: re.Match[str]) -> str:
    decimal, hexadecimal = match.groups()
    code = int(decimal) if decimal else int(hexadecimal, 16)
    good = code in (9, 10, 13) or 32 <= code < 0xD800 or 0xE000 <= code < 0xFFFE or 0x10000 <= code < 0x110000
    return chr(code) if good else ""
