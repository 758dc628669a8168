"""the posts of a site, in the order of the dump → temporary SQLite file → threads: question, then answers by score

An answer may stand gigabytes after its question. SQLite sorts on disk, so memory does not grow with the site; the
temporary file takes about the size of Posts.xml.
"""

from __future__ import annotations

import re
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from packtrain.data.domains.stack_exchange_rows import ATTRIBUTE
from packtrain.data.step import Skips
from packtrain.errors import Failure

NUMBER = re.compile(rb"\s*([-+]?[0-9]{1,18})\s*")
QUESTION, ANSWER = 1, 2
KINDS = {
    3: "wiki",
    4: "tag wiki excerpt",
    5: "tag wiki",
    6: "moderator nomination",
    7: "wiki placeholder",
    8: "privilege wiki",
}
MEMORY_KIB = 32 << 10


def number(value: bytes | None) -> int | None:
    """A whole number, or None for anything else."""
    match = NUMBER.fullmatch(value or b"")
    return int(match[1]) if match else None


class Threads:
    """`add` every row, then iterate over (question id, rows): the question's first, answers by score, best first.

    Scores are compared as numbers, a missing one counts as 0, equal ones stand by id. A context manager.
    """

    def __init__(self, skips: Skips) -> None:
        self.skips = skips
        self._folder = tempfile.TemporaryDirectory(prefix="packtrain-stack-exchange-")
        self._db = sqlite3.connect(Path(self._folder.name) / "posts.sqlite", isolation_level=None)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{MEMORY_KIB}", "temp_store=FILE"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.execute(
            "CREATE TABLE posts (thread INTEGER, kind INTEGER, score INTEGER, id INTEGER, at INTEGER, row BLOB)"
        )
        self._db.execute("BEGIN")

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()
        self._folder.cleanup()

    def add(self, rows: Iterable[tuple[int, bytes]]) -> None:
        """Rows with their offsets; those that are neither question nor answer are skipped."""
        with self._room():
            self._db.executemany("INSERT INTO posts VALUES (?, ?, ?, ?, ?, ?)", self._posts(rows))

    @contextmanager
    def _room(self) -> Iterator[None]:
        """A full disk is no fault of the dump: nothing may be published without the site."""
        try:
            yield
        except sqlite3.OperationalError as error:
            remedy = "free as much as Posts.xml takes, or name a folder with room in TMPDIR"
            raise Failure(f"{self._folder.name}: posts cannot be sorted here ({error}); {remedy}") from None

    def _posts(self, rows: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, int, int, int, int, bytes]]:
        for at, row in rows:
            found: dict[bytes, bytes] = {}
            for name, double, single in ATTRIBUTE.findall(row):
                found.setdefault(name, double or single)
            kind, own = number(found.get(b"PostTypeId")), number(found.get(b"Id"))
            thread = own if kind == QUESTION else number(found.get(b"ParentId"))
            if kind not in (QUESTION, ANSWER):
                known = KINDS.get(kind or 0, "unknown")
                self.skips.skip(f"neither question nor answer ({known})", at)
            elif own is None:
                self.skips.skip("post without an id", at)
            elif thread is None:
                self.skips.skip("answer without a question's id", at)
            else:
                yield thread, kind, number(found.get(b"Score")) or 0, own, at, row

    def __iter__(self) -> Iterator[tuple[int, list[bytes]]]:
        with self._room():
            yield from self._threads()

    def _threads(self) -> Iterator[tuple[int, list[bytes]]]:
        self._db.execute("COMMIT")
        select = "SELECT thread, kind, id, at, row FROM posts ORDER BY thread, kind, score DESC, id, at"
        for thread, posts in groupby(self._db.execute(select), key=lambda post: post[0]):
            rows: list[bytes] = []
            seen: set[tuple[int, int]] = set()
            for _, kind, own, at, row in posts:
                if (kind, own) in seen:
                    self.skips.skip("id given twice", at)
                elif kind == ANSWER and (QUESTION, thread) not in seen:
                    self.skips.skip("answer to a question that is not there", at)
                else:
                    seen.add((kind, own))
                    rows.append(row)
            if rows:
                yield thread, rows
