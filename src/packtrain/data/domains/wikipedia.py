"""XML dumps → pages → articles (no redirects, no other namespaces) → wikitext to prose → long enough

The language is that of the dump's name (`enwiki-…`, or a folder `en/wiki.xml`), never of its xml:lang.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from packtrain.data import files
from packtrain.data.documents import Document
from packtrain.data.domain import Domain
from packtrain.data.length import LongEnough
from packtrain.data.step import AnyStep, Skips, Tally
from packtrain.data.wiki.dump import HEAD, blocks, names_of, pages
from packtrain.data.wiki.names import LANGUAGES, SOURCES
from packtrain.data.wiki.prose import Prose
from packtrain.errors import UserError

NAME = "wikipedia"
DUMP = re.compile(r"\.xml(?:-p\d+p\d+)?(?:[-_.][\w-]+)*(?:\.(?:bz2|gz|xz))?$")
WIKI = re.compile(r"(?:^|[^a-z])([a-z]{2,3}(?:_[a-z_]+)?|simple|commons)wiki(?![a-z])")
ENTITIES = re.compile(rb"<!(?:DOCTYPE|ENTITY)")
FILE, TEMPLATE, CATEGORY, MEDIA = 6, 10, 14, -2


@dataclass(frozen=True)
class Parameters:
    """languages: of the dumps to read. language: of every dump, whatever its name. tables: remove or flatten.
    skip_sections: headings whose sections go, besides the lists of sources known in 20 languages."""

    languages: tuple[str, ...] = LANGUAGES
    language: str | None = None
    namespaces: tuple[int, ...] = (0,)
    tables: str = "remove"
    drop_sources: bool = True
    skip_sections: tuple[str, ...] = ()
    titles: bool = True
    min_characters: int = 200
    max_page_mib: int = 64

    def __post_init__(self) -> None:
        if self.tables not in ("remove", "flatten"):
            raise UserError(f"domain.tables={self.tables}: expected remove or flatten")


def inputs(path: Path, parameters: Parameters) -> list[Path]:
    """The dump itself, or every *.xml, *.xml.bz2, *.xml.gz and *.xml.xz below a folder."""
    expected = "no dumps here; expected *.xml, *.xml.bz2, *.xml.gz (dumps.wikimedia.org)"
    return files.find(path, lambda file: DUMP.search(file.name) is not None, expected)


def language_of(path: Path) -> str | None:
    """By the name of the dump, else by its folder's; None where neither tells."""
    if found := WIKI.search(path.name.lower()):
        return found[1].replace("_", "-")
    folder = path.parent.name.lower()
    if found := WIKI.search(folder):
        return found[1].replace("_", "-")
    return folder if folder in LANGUAGES else None


def read(path: Path, name: str, parameters: Parameters, skips: Skips) -> Iterator[Document]:
    """The pages of one dump as wikitext."""
    language = parameters.language or language_of(path)
    if language is None:
        return skips.skip("language unknown", 0, "expected a name as enwiki-20220801-pages-articles.xml.bz2")
    if language not in parameters.languages:
        return skips.skip("language not among those to read", 0, language)
    parts = blocks(path, skips)
    head = next(parts, b"")
    if ENTITIES.search(head.partition(b"<page>")[0]):
        return skips.skip("XML with declared entities", 0, "no dump has them; an entity bomb may")
    names = sorted(names_of(head[:HEAD], (MEDIA, FILE, CATEGORY)))

    def all_parts() -> Iterator[bytes]:
        yield head
        yield from parts

    for page in pages(all_parts(), skips, parameters.max_page_mib << 20):
        yield Document(
            id=f"{name}#{page.number}",
            text=page.text,
            domain=NAME,
            source=name,
            url=f"https://{language}.wikipedia.org/wiki/{quote(page.title.replace(' ', '_'), safe='/:(),')}",
            language=language,
            licence="CC-BY-SA-3.0",
            metadata={
                "title": page.title, "namespace": page.namespace, "redirect": page.redirect, "model": page.model,
                "site_names": names, "bad_bytes": page.bad_bytes,
            },
        )  # fmt: skip


@dataclass(frozen=True)
class Articles:
    """Keeps pages of `namespaces` that are wikitext and no redirects."""

    namespaces: tuple[int, ...] = (0,)
    name: ClassVar[str] = "articles"

    def __call__(self, documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
        for document in documents:
            page = document.metadata
            if page["namespace"] not in self.namespaces:
                tally.drop(document, f"namespace {page['namespace']}")
            elif page["redirect"] or REDIRECT.match(document.text):
                tally.drop(document, "redirect")
            elif page["model"] not in ("wikitext", ""):
                tally.drop(document, "not wikitext")
            elif page["bad_bytes"] * 100 > len(document.text):
                tally.drop(document, "over 1 % of the bytes are not in the encoding of the dump")
            else:
                yield tally.keep(document)


REDIRECT = re.compile(r"\s*#(?:redirect|redirecci[óo]n|weiterleitung|redirection|rinvia|doorverwijzing|patrz|tam|"
                      r"przekieruj|"
                      r"redirecionamento|redireciona|przekierowanie|перенаправление|перенаправлення|пренасочване|виж|"
                      r"преусмери|přesměruj|omdirigering|omdiriger|átirányítás|redirectare|preusmeritev|преусмјери|"
                      r"preusmjeri|preusmeri|перенапр|redirige)\b[^\n]{0,20}\[\[", re.IGNORECASE)  # fmt: skip


@dataclass(frozen=True)
class WikitextToProse:
    """Wikitext to plain lines; the article's title comes first where `titles`."""

    tables: str = "remove"
    skip_sections: frozenset[str] = frozenset()
    titles: bool = True
    name: ClassVar[str] = "wikitext to prose"

    def __call__(self, documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
        made: dict[tuple[str, ...], Prose] = {}
        for document in documents:
            page = document.metadata
            names = tuple(page["site_names"])
            if names not in made:
                made[names] = Prose(self.tables, frozenset(names), self.skip_sections)
            prose = made[names]
            text = prose(document.text.replace("\ufffd", "") if page["bad_bytes"] else document.text)
            if not text:
                tally.drop(document, "no prose in it")
                continue
            for what, count in prose.removed.items():
                tally.cut(what, count)
            prose.removed.clear()
            tally.cut("undecodable bytes", page["bad_bytes"])
            text = f"{page['title']}\n\n{text}\n" if self.titles else f"{text}\n"
            kept = {"title": page["title"], "namespace": page["namespace"]}
            yield tally.change(document, replace(document, text=text, metadata=kept))


def steps(parameters: Parameters) -> list[AnyStep]:
    sources = SOURCES if parameters.drop_sources else frozenset()
    skipped = sources | {heading.lower() for heading in parameters.skip_sections}
    prose = WikitextToProse(parameters.tables, skipped, parameters.titles)
    return [Articles(parameters.namespaces), prose, LongEnough(parameters.min_characters)]


DOMAIN = Domain(
    NAME, Parameters, inputs, read, steps, "a dump (enwiki-20220801-pages-articles.xml.bz2) or a folder", version=2
)
