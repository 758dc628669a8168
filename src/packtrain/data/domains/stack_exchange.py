"""Posts.xml or .7z ─rows→ posts ─SQLite→ threads: question, then answers by numeric score ─HTML to text→ documents

LLaMA, section 2.1: the 28 largest sites, HTML tags removed, answers sorted by score from highest to lowest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from packtrain.data import files
from packtrain.data.documents import Document
from packtrain.data.domain import Domain
from packtrain.data.domains.stack_exchange_html import to_text
from packtrain.data.domains.stack_exchange_rows import Damaged, Rows, attributes
from packtrain.data.domains.stack_exchange_threads import Threads, number
from packtrain.data.step import AnyStep, DropEmpty, Skips, Tally
from packtrain.errors import UserError

NAME = "stack_exchange"
NEEDS = "a dump's folder of SITE/Posts.xml or SITE.7z, or one such file"
PIECE = 1 << 20
BOMB_RATIO, BOMB_BYTES = 200, 1 << 30  # text packs ten to one; a gigabyte more than 200 to one is no dump
# 28 of the largest by posts, from general knowledge and checked against no published list; the paper does not name its
# own, and the last places are close.
LARGEST = (
    "stackoverflow.com", "math.stackexchange.com", "superuser.com", "ru.stackoverflow.com", "askubuntu.com",
    "serverfault.com", "unix.stackexchange.com", "tex.stackexchange.com", "physics.stackexchange.com",
    "electronics.stackexchange.com", "stats.stackexchange.com", "english.stackexchange.com", "es.stackoverflow.com",
    "pt.stackoverflow.com", "gis.stackexchange.com", "apple.stackexchange.com", "mathoverflow.net",
    "salesforce.stackexchange.com", "ell.stackexchange.com", "wordpress.stackexchange.com", "gaming.stackexchange.com",
    "magento.stackexchange.com", "sharepoint.stackexchange.com", "meta.stackexchange.com",
    "softwareengineering.stackexchange.com", "drupal.stackexchange.com", "dba.stackexchange.com",
    "mathematica.stackexchange.com",
)  # fmt: skip


@dataclass(frozen=True)
class Parameters:
    """sites: the sites that are read, or "all". minimum_score: of a question and of each answer; None keeps all.

    minimum_answers: a question with fewer is dropped. question, answer: what stands before each.
    """

    sites: str | tuple[str, ...] = LARGEST
    minimum_answers: int = 0
    minimum_score: int | None = None
    question: str = "Q: "
    answer: str = "A: "

    def __post_init__(self) -> None:
        if self.minimum_answers < 0:
            raise UserError(f"domain.minimum_answers={self.minimum_answers}: expected 0 or more")
        if isinstance(self.sites, str) and self.sites != "all":
            object.__setattr__(self, "sites", (self.sites,))


def site_of(path: Path) -> str:
    """beer.stackexchange.com/Posts.xml, beer.stackexchange.com.7z, stackoverflow.com-Posts.7z → the site's name."""
    if path.suffix.lower() == ".7z":
        return re.sub(r"-Posts$", "", path.name[:-3], flags=re.IGNORECASE).lower()
    own = re.sub(r"(^|[-_.])posts$", "", path.stem, flags=re.IGNORECASE).lower()
    return own or path.resolve().parent.name.lower()


def inputs(source: Path, parameters: Parameters) -> list[Path]:
    """The dumps of the wanted sites. Raises `UserError`, naming those that are there, where none of them is wanted."""
    found = files.find(source, _is_dump, f"no Posts.xml or .7z here; domain={NAME} wants {NEEDS}")
    wanted = [p for p in found if parameters.sites == "all" or site_of(p) in parameters.sites]
    if not wanted:
        here = ", ".join(sorted({site_of(p) for p in found})[:5])
        raise UserError(
            f"input={source}: none of the sites wanted is here (found {here}); take all with domain.sites=all"
        )
    return wanted


def _is_dump(path: Path) -> bool:
    other = re.search(r"-(Badges|Comments|PostHistory|PostLinks|Tags|Users|Votes)$", path.stem, re.IGNORECASE)
    return path.name.lower().endswith("posts.xml") or (path.suffix.lower() == ".7z" and not other)


def read(path: Path, name: str, parameters: Parameters, skips: Skips) -> Iterator[Document]:
    """One thread a document, its text the XML rows: the question's, then those of its answers, best first."""
    site, before = site_of(path), skips.counts.total()
    with Threads(skips) as threads:
        rows = Rows(lambda reason, at, detail: skips.skip(reason, at, detail))
        try:
            for piece in _pieces(path, lambda data: threads.add(rows.feed(data)), skips):
                threads.add(rows.feed(piece))
        except OSError as error:
            skips.skip("file cannot be read", None, str(error))
        threads.add(rows.feed(b"", final=True))
        if not rows.found and skips.counts.total() == before:
            skips.skip("no rows in the file", 0)
        for thread, posts in threads:
            text = b"\n".join(posts).decode("utf-8", "replace")
            yield Document(
                f"{site}/{thread}", text, NAME, name, url=f"https://{site}/questions/{thread}", metadata={"site": site}
            )


def _pieces(path: Path, push: Callable[[bytes], None], skips: Skips) -> Iterable[bytes]:
    """The file's bytes; those of an archive are pushed instead, for its library pushes too."""
    if path.suffix.lower() != ".7z":
        with path.open("rb") as file:
            while data := file.read(PIECE):
                yield data
        return
    from packtrain.data.domains.stack_exchange_archive import push_posts

    limit = max(BOMB_BYTES, BOMB_RATIO * path.stat().st_size)
    push_posts(path, push, limit, skips)


@dataclass(frozen=True)
class ThreadText:
    """A thread's XML rows → `Q: title, question`, then `A: answer` for each, all plain text."""

    minimum_answers: int = 0
    minimum_score: int | None = None
    question: str = "Q: "
    answer: str = "A: "
    name: ClassVar[str] = "thread to text"

    def __call__(self, documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
        for document in documents:
            posts: list[dict[str, str]] = []
            damaged = ""
            for _, row in Rows(lambda *_: None).feed(document.text.encode("utf-8"), final=True):
                try:
                    posts.append(attributes(row))
                except Damaged as error:
                    damaged = damaged or str(error)
                    tally.cut(str(error))
            if not posts or posts[0].get("PostTypeId", "").strip() != "1":
                tally.drop(document, f"question: {damaged or 'not there'}")
                continue
            question, answers = posts[0], posts[1:]
            good = [post for post in answers if self._is_good(post)]
            tally.cut("answer below minimum_score", len(answers) - len(good))
            bodies = [(post, text) for post in good if (text := to_text(post.get("Body", "")))]
            tally.cut("answer without text", len(good) - len(bodies))
            if not self._is_good(question):
                tally.drop(document, "question below minimum_score")
            elif len(bodies) < self.minimum_answers:
                tally.drop(document, "fewer than minimum_answers")
            else:
                yield tally.change(document, self._document(document, question, bodies))

    def _is_good(self, post: dict[str, str]) -> bool:
        return self.minimum_score is None or _score(post) >= self.minimum_score

    def _document(
        self, document: Document, question: dict[str, str], answers: list[tuple[dict[str, str], str]]
    ) -> Document:
        title = " ".join(question.get("Title", "").split())
        asked = "\n\n".join(part for part in (title, to_text(question.get("Body", ""))) if part)
        parts = [self.question + asked] if asked else []
        parts += [self.answer + text for _, text in answers]
        licences = {_licence(post) for post in (question, *(post for post, _ in answers))} - {None}
        metadata = {
            **document.metadata,
            "tags": [tag for tag in re.split(r"[<>|]+", question.get("Tags", "")) if tag],
            "score": number(question.get("Score", "").encode()),
            "answer_scores": [number(post.get("Score", "").encode()) for post, _ in answers],
            "date": question.get("CreationDate", "")[:10],
        }
        licence = ", ".join(sorted(name for name in licences if name)) or None
        return replace(document, text="\n\n".join(parts), licence=licence, metadata=metadata)


def _score(post: dict[str, str]) -> int:
    return number(post.get("Score", "").encode()) or 0


def _licence(post: dict[str, str]) -> str | None:
    """What the row says, else by its date: the network changed its licence on 8 April 2011 and 2 May 2018."""
    if post.get("ContentLicense"):
        return post["ContentLicense"]
    date = post.get("CreationDate", "")[:10]
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", date):
        return None
    return f"CC BY-SA {'2.5' if date < '2011-04-08' else '3.0' if date < '2018-05-02' else '4.0'}"


def steps(parameters: Any) -> list[AnyStep]:
    p: Parameters = parameters
    return [ThreadText(p.minimum_answers, p.minimum_score, p.question, p.answer), DropEmpty()]


DOMAIN = Domain(NAME, Parameters, inputs, read, steps, needs_input=NEEDS, version=2)
