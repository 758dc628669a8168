# ruff: noqa: E501  (tables of cases)
"""Books lose their boilerplate, whole or half of it, and are kept in one edition each"""

from __future__ import annotations

import random
import zipfile
from pathlib import Path

import numpy as np
import pytest

from packtrain.data.books.gutenberg import is_free, without_boilerplate
from packtrain.data.domains import books
from packtrain.data.domains.books import DOMAIN, Parameters, decoded
from packtrain.data.shingles import containment, shingles, words
from packtrain.errors import UserError
from tests.data.run_domain import Made, corpora, made

HEADER = """The Project Gutenberg EBook of The Ridge, by A. Mule

This eBook is for the use of anyone anywhere at no cost and with
almost no restrictions whatsoever.  You may copy it, give it away or
re-use it under the terms of the Project Gutenberg License included
with this eBook or online at www.gutenberg.net


Title: The Ridge

Author: A. Mule

Release Date: May 3, 2004 [EBook #12]

Language: French

Character set encoding: ISO-8859-1

"""
START, END = (
    "*** START OF THIS PROJECT GUTENBERG EBOOK THE RIDGE ***\n",
    "*** END OF THIS PROJECT GUTENBERG EBOOK THE RIDGE ***\n",
)
CREDIT = "\n\nProduced by Two Llamas and the Online Distributed\nProofreading Team\n\n\n"
LICENCE = """
Updated editions will replace the previous one--the old editions
will be renamed.

*** START: FULL LICENSE ***

THE FULL PROJECT GUTENBERG LICENSE
PLEASE READ THIS BEFORE YOU DISTRIBUTE OR USE THIS WORK
"""


def story(seed: int, count: int = 3000, vocabulary: int = 2000) -> str:
    chance = random.Random(seed)
    return "\n".join(" ".join(f"w{chance.randrange(vocabulary)}" for _ in range(12)) for _ in range(count // 12)) + "\n"


BOOK = "THE RIDGE\n\nChapter I\n\n" + story(1)


@pytest.mark.parametrize(
    ("file", "cut"),
    [
        (HEADER + START + CREDIT + BOOK + "\n" + END + LICENCE, ["header", "footer", "credits"]),
        (HEADER + START + BOOK + END.replace("THIS", "THE") + LICENCE, ["header", "footer"]),
        (HEADER + START.replace("*** START", "***START") + BOOK + LICENCE, ["header", "footer"]),
        (HEADER + "\n\n" + BOOK + "End of Project Gutenberg's The Ridge, by A. Mule\n" + LICENCE,
         ["header without its end mark", "footer"]),
        (BOOK + END + LICENCE, ["footer"]),
        (BOOK + "THE FULL PROJECT GUTENBERG LICENSE\n", ["licence without an end mark"]),
        (HEADER + START + BOOK, ["header"]),
        (HEADER + "\n" + BOOK, ["header without its end mark"]),
        (HEADER + "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n" + BOOK + END, ["header", "footer"]),
        (HEADER + START + BOOK + "\n[Transcriber's Note: spelling was kept.]\n" + END, ["header", "footer", "transcriber's note"]),
        (BOOK, []),
        ("Title: my own book\nAuthor: me\n\n" + BOOK, []),
    ],
)  # fmt: skip
def test_headers_and_footers_go_even_where_one_is_missing(file: str, cut: list[str]) -> None:
    text, found = without_boilerplate(file)
    assert found == cut
    own = "Title: my own book\nAuthor: me\n\n" if file.startswith("Title: my own") else ""
    assert text.strip() == (own + BOOK).strip()


def test_a_book_that_speaks_of_gutenberg_is_not_cut() -> None:
    text = BOOK + "He printed in Gutenberg's way.\nThe end of the project was near.\n" + story(2)
    assert without_boilerplate(text)[0] == text


def test_only_what_gutenberg_says_is_free_is_called_so() -> None:
    header = "The Project Gutenberg EBook of X\n"
    assert is_free(header + BOOK) and is_free(BOOK * 3 + "End of Project Gutenberg's X")
    assert not is_free(BOOK) and not is_free(header + "** This is a COPYRIGHTED Project Gutenberg eBook **\n" + BOOK)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("Gabriël “x”".encode(), "Gabriël “x”"),
        ("\ufeffGabriël".encode(), "Gabriël"),
        ("Gabriël".encode("utf-16"), "Gabriël"),
        ("Gabriël".encode("latin-1"), "Gabriël"),
        ("“Gabriël”".encode("cp1252"), "“Gabriël”"),
        (
            b"Character set encoding: ISO-8859-2\n" + "Łódź".encode("iso-8859-2"),
            "Character set encoding: ISO-8859-2\nŁódź",
        ),
        (b"Character set encoding: no-such-set\n\xe9", "Character set encoding: no-such-set\né"),
        (b"\x81\x8d", "\x81\x8d"),
    ],
)
def test_every_encoding_is_read(data: bytes, text: str) -> None:
    assert decoded(data)[0] == text


def put(folder: Path, files: dict[str, str | bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def run(tmp_path: Path, files: dict[str, str | bytes], parameters: Parameters | None = None) -> Made:
    return made(DOMAIN, put(tmp_path / "in", files), tmp_path, parameters)


def test_text_html_and_markdown_of_one_book_are_one_book(tmp_path: Path) -> None:
    paragraphs = BOOK.strip().split("\n")
    html = "<html><head><title>x</title><style>p{}</style></head><body>" + "".join(f"<p>{p}</p>\n" for p in paragraphs)
    markdown = "# Title: The Ridge\n\n-----\n\n## Chapter\n\n" + "\n\n".join(paragraphs) + "\n\nAn *afterword* here.\n"
    result = run(
        tmp_path, {"a.txt": HEADER + START + BOOK + END, "b.htm": html, "c.md": markdown, "other.txt": story(7)}
    )
    assert result.ids == ["c.md", "other.txt"]  # the longest edition, and the other book
    assert result.tallies["book-level deduplication"].dropped == {"over 90% in common with a longer book": 2}
    gone = result.dropped["a.txt"].metadata
    assert gone["duplicate_of"] == "c.md"
    assert gone["common"] > 0.99
    assert "near_duplicates" not in result.documents[0].metadata
    assert "afterword here" in result.text("c.md")
    assert "<p>" not in result.text("c.md")


@pytest.mark.parametrize(("share", "kept"), [(0.85, 2), (0.95, 1)])
def test_the_limit_is_ninety_per_cent_of_the_shorter_book(tmp_path: Path, share: float, kept: int) -> None:
    whole, other = story(1, 12_000), story(2, 12_000)
    cut = int(len(whole) * share)
    mixed = whole[:cut] + other[: int(len(other) * (1 - share))]
    assert len(run(tmp_path, {"a.txt": whole + story(3, 4000), "b.txt": mixed}).documents) == kept


def test_a_novella_in_a_collection_is_found_and_the_collection_stays(tmp_path: Path) -> None:
    novella = story(1, 3000)
    collection = story(2, 20_000) + novella + story(3, 20_000)
    result = run(tmp_path, {"collection.txt": collection, "novella.txt": novella})
    assert result.ids == ["collection.txt"]


def test_of_equal_editions_the_first_name_stays(tmp_path: Path) -> None:
    assert run(tmp_path, {"b.txt": BOOK, "a.txt": BOOK, "c.txt": BOOK}).ids == ["a.txt"]


def test_quotes_case_accents_and_line_breaks_make_no_other_book() -> None:
    assert words("“Ça,” dit-IL — l’été") == words('"Ca" dit il, l\'ete')
    assert containment(shingles(BOOK), shingles(BOOK.upper().replace("\n", "\r\n\r\n").replace(" ", "  "))) == 1
    assert containment(shingles(""), shingles(BOOK)) == 0


def test_the_measure_is_the_share_of_the_smaller_set() -> None:
    a, b = np.arange(10, dtype=np.uint64), np.arange(5, 13, dtype=np.uint64)
    assert containment(a, b) == 5 / 8


def test_zips_are_read_and_what_is_no_book_is_counted(tmp_path: Path) -> None:
    folder = put(tmp_path / "in", {"empty.txt": b"", "binary.txt": b"MZ\0\0" * 100, "short.txt": "too short"})
    with zipfile.ZipFile(folder / "11.zip", "w") as archive:
        archive.writestr("11-0.txt", BOOK)
        archive.writestr("images/cover.jpg", b"\xff\xd8")
        archive.writestr("../../escape.txt", BOOK)
    (folder / "torn.zip").write_bytes((folder / "11.zip").read_bytes()[:200])
    result = made(DOMAIN, folder, tmp_path)
    assert result.ids == ["11.zip/11-0.txt"]
    assert result.skips.counts == {
        "empty file": 1, "binary file": 1, "name that leaves the archive": 1, "archive damaged": 1,
    }  # fmt: skip
    assert result.tallies["length"].dropped == {"under 2000 characters": 1}
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix == ".txt") == []


def test_a_folder_without_books_and_odd_shares_say_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no books here; expected \.txt, \.htm"):
        books.inputs(tmp_path, Parameters())
    with pytest.raises(UserError, match="expected 0 < candidates_over < common_over < 1"):
        Parameters(common_over=0.5)


def test_the_real_near_duplicates_are_found_and_nothing_else(tmp_path: Path) -> None:
    result = made(DOMAIN, corpora("books"), tmp_path)
    editions = {d.id: d.metadata["duplicate_of"] for d in result.dropped.values()}
    assert editions == {
        "11-h.htm": "11-0.txt", "md-alice.md": "11-0.txt", "pg11.txt": "11-0.txt",
        "md-pride.md": "1342-0.txt", "pg1342.txt": "1342-0.txt", "pg16.txt": "md-peterpan.md",
    }  # fmt: skip
    dutch = next(d for d in result.documents if d.id == "24675-8.txt")
    assert dutch.language == "nl"
    assert dutch.metadata["author"].startswith("Gabriël")
    assert "GABRIËL" in dutch.text
    assert "gutenberg license" not in dutch.text.lower()
    assert "end of this project" not in dutch.text.lower()
