"""real texts ─seeded→ a WET file of any number of pages, the same bytes for the same texts: what a crawl's file is like

The corpora's own pages are few. A made page is a site's menu, a heading, the next paragraphs of a real text (books, the
READMEs of installed packages, the corpora's pages and articles: none is used twice), and the site's foot. One in ten is
in another language, one in fifty a copy of an earlier page, one in fifteen quotes a paragraph of an earlier one.
"""

from __future__ import annotations

import gzip
import random
import re
import sysconfig
from pathlib import Path

from packtrain.data import web_pages
from packtrain.data.limits import decode
from packtrain.data.step import Skips
from packtrain.data.words import words

SITES = 60
MENU = words("Home About News Shop Blog Contact Help Login Search Archive Events Gallery Forum Press Jobs Team Links")
FOOT = ["All rights reserved.", "Read our privacy policy and terms of use.", "This site uses cookies to work.", "Top"]
NAME = "CC-MAIN-made.warc.wet.gz"


def make(folder: Path, corpora: Path, pages: int, seed: int = 20260101) -> Path:
    """Writes `NAME` in `folder`, a gzip member per record as Common Crawl does, and gives its path."""
    chance = random.Random(seed)
    english, others = _Texts(chance, _english(corpora)), _Texts(chance, _others(corpora))
    sites = [_site(chance) for _ in range(SITES)]
    written: list[list[str]] = []
    with (folder / NAME).open("wb") as file:
        file.write(_member("warcinfo", b"isPartOf: made\r\n", ""))
        for number in range(pages):
            if number % 50 == 49:
                lines = chance.choice(written)
            else:
                body = (others if number % 10 == 9 else english).next(int(chance.lognormvariate(6.7, 0.7)))
                if number % 15 == 14:
                    body.insert(chance.randrange(len(body) + 1), max(chance.choice(written), key=len))
                menu, foot = sites[number % SITES]
                lines = [*menu, " ".join(body[0].split()[:6]), *body, *foot]
                written.append(lines)
            url = f"http://site{number % SITES}.example/{number}.html"
            file.write(_member("conversion", "\n".join(lines).encode("utf-8", "replace"), url))
    return folder / NAME


class _Texts:
    """Paragraphs of texts, each once and in their order; from the beginning again when all are used."""

    def __init__(self, chance: random.Random, texts: list[list[str]]) -> None:
        self.chance, self.texts = chance, [text for text in texts if text] or [["No text is here."]]
        self.places = [0] * len(self.texts)

    def next(self, characters: int) -> list[str]:
        """The next paragraphs of one of them, longer ones more often, until there are so many characters."""
        left = [len(text) - place for text, place in zip(self.texts, self.places, strict=True)]
        if not any(left):
            left, self.places = [len(text) for text in self.texts], [0] * len(self.texts)
        number = self.chance.choices(range(len(left)), left)[0]
        text, begin = self.texts[number], self.places[number]
        end = begin
        while end < len(text) and sum(map(len, text[begin:end])) < characters:
            end += 1
        self.places[number] = max(end, begin + 1)
        return text[begin : self.places[number]]


def _english(corpora: Path) -> list[list[str]]:
    readmes = sorted(Path(sysconfig.get_path("purelib")).glob("*.dist-info/METADATA"))
    books = sorted((corpora / "books").glob("pg*.txt"))
    texts = [_paragraphs(file) for file in (*books, *sorted((corpora / "plain").glob("*.txt")), *readmes)]
    folder = corpora / "commoncrawl"
    for file in web_pages.inputs(folder) if folder.exists() else ():
        pages = web_pages.read(file, file.name, "wet", web_pages.Pages(), Skips())
        texts += [page.text.split("\n") for page in pages if len(page.text) > 500]
    return texts


def _others(corpora: Path) -> list[list[str]]:
    files = [*sorted((corpora / "multilingual").glob("genesis-[fs]*.txt")), corpora / "books" / "24675-8.txt"]
    return [_paragraphs(file) for file in files if file.exists()]


def _paragraphs(file: Path) -> list[str]:
    """On one line each, as browsers show them."""
    found = decode(file.read_bytes()[: 1 << 20])
    parts = re.split(r"\n\s*\n" if found and "\n\n" in found[0].replace("\r", "") else r"\n", found[0]) if found else []
    return [" ".join(part.split()) for part in parts if part.strip()]


def _site(chance: random.Random) -> tuple[list[str], list[str]]:
    """(menu, foot): what all pages of a site have in common."""
    return chance.sample(sorted(MENU), 8), [f"Copyright {chance.randint(1990, 2026)}", *chance.sample(FOOT, 3)]


def _member(kind: str, body: bytes, url: str) -> bytes:
    target = f"WARC-Target-URI: {url}\r\nWARC-Record-ID: <{url}>\r\n" if url else "WARC-Record-ID: <urn:made>\r\n"
    mime = "text/plain" if url else "application/warc-fields"
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\n{target}WARC-Date: 2026-01-01T00:00:00Z\r\nContent-Type: {mime}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return gzip.compress(head.encode() + body + b"\r\n\r\n", 6, mtime=0)
