"""Every copy of a line that several documents have goes; refrains, groups and the number of parts are as promised"""

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from packtrain.data.documents import Document
from packtrain.data.repeated_lines import RepeatedLines, line_hash, normalised
from packtrain.data.step import Tally, decide
from tests.data.web import document


def run(step, parts: list[list[Document]], folder: Path, shards: int = 1) -> tuple[dict[str, str], Tally]:
    """A global step over parts of documents, as the runner does it: id → text of what stays."""
    paths = [folder / f"part{i}.npy" for i in range(len(parts))]
    for path, part in zip(paths, parts, strict=True):
        np.save(path, step.collect(iter(part)))
    decision, tally = decide(step, paths, folder, shards), Tally(step.name)
    out = {d.id: d.text for part in parts for d in step.apply(part, decision, tally)}
    assert tally.seen == sum(map(len, parts))
    return out, tally


def test_every_copy_of_a_repeated_line_goes_the_first_too(tmp_path: Path) -> None:
    one = document("Accept all cookies\nLlamas carry loads.\nAccept all cookies", "1")
    two = document("ACCEPT all cookies!\nAlpacas give wool.", "2")
    three = document("Accept all cookies", "3")
    texts, tally = run(RepeatedLines(min_characters=0), [[one, two], [three]], tmp_path)
    assert texts == {"1": "Llamas carry loads.", "2": "Alpacas give wool."}
    assert dict(tally.removed) == {"repeated line": 4}
    assert dict(tally.dropped) == {"nothing but repeated lines": 1}


def test_the_first_copy_stays_where_that_is_asked_with_its_refrains(tmp_path: Path) -> None:
    one = document("Accept all cookies\nLlamas carry loads.\nAccept all cookies", "1")
    two = document("ACCEPT all cookies!\nAlpacas give wool.", "2")
    three = document("Accept all cookies\nVicuñas are wild.\nAlpacas give wool.", "3")
    left = {"1": one.text, "2": "Alpacas give wool.", "3": "Vicuñas are wild."}
    for shards in (1, 7):
        texts, tally = run(RepeatedLines("first", min_characters=0), [[one, two], [], [three]], tmp_path, shards)
        assert texts == left
        assert dict(tally.removed) == {"repeated line": 3}


@pytest.mark.parametrize("keep", ["none", "first"])
def test_a_refrain_within_one_document_stays(keep: Literal["none", "first"], tmp_path: Path) -> None:
    song = document("la la la\nfirst verse\nla la la\nsecond verse", "1")
    texts, _ = run(RepeatedLines(keep, min_characters=0), [[song], [document("another song", "2")]], tmp_path)
    assert texts["1"] == song.text


@pytest.mark.parametrize(("group", "left"), [("run", 0), ("folder", 1), ("file", 3)])
def test_a_group_is_the_run_a_folder_or_a_file(group: str, left: int, tmp_path: Path) -> None:
    places = ["a/1.wet", "a/2.wet", "b/1.wet"]
    documents = [document("the same line", str(i), place) for i, place in enumerate(places)]
    texts, _ = run(RepeatedLines(group=group, min_characters=0), [[d] for d in documents], tmp_path)  # type: ignore[arg-type]
    assert len(texts) == left


@pytest.mark.parametrize("shards", [2, 50])
def test_the_result_depends_neither_on_the_parts_nor_on_the_shards(shards: int, tmp_path: Path) -> None:
    lines = np.random.default_rng(0).integers(0, 300, (40, 10))
    documents = [document("\n".join(f"line number {'x' * int(n)}" for n in row), str(i)) for i, row in enumerate(lines)]
    whole, _ = run(RepeatedLines(min_characters=0), [documents], tmp_path)
    parts = [documents[:7], documents[7:9], [], documents[9:]]
    assert run(RepeatedLines(min_characters=0), parts, tmp_path, shards)[0] == whole
    assert 0 < len(whole) <= 40


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("  Tel: +49 (0)30 1234567  ", b"tel 0 0 0"),
        ("Déjà vu — naïve café №5!", b"deja vu naive cafe 0"),
        ("Цена: 99 руб.", "цена 0 руб".encode()),
        ("-----", b""),
        ("", b""),
    ],
)
def test_lines_are_normalised_as_the_paper_says(line: str, plain: bytes) -> None:
    assert normalised(line).replace("№".encode(), b"") == plain
    expected = int.from_bytes(hashlib.sha1(normalised(line)).digest()[:8], "big") if plain else 0
    assert line_hash(line) == expected


def test_a_page_with_little_left_is_dropped_by_its_reason(tmp_path: Path) -> None:
    long = "A line that is long enough to be a page of its own, as pages go. " * 6
    documents = [document(f"menu\n{long}", "1"), document("menu\nshort", "2"), document("alone", "3")]
    texts, tally = run(RepeatedLines(), [documents], tmp_path)
    assert list(texts) == ["1"]
    assert dict(tally.dropped) == {"too short without repeated lines": 1, "too short": 1}
