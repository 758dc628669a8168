"""The three domains of the running Python: real, split by module, and no held-out prose stands in training text"""

from __future__ import annotations

import re
import unicodedata

import pytest

from packtrain.data.documents import Document
from packtrain.data.domains import python_code, python_prose, unicode
from packtrain.data.domains.python_modules import modules
from packtrain.data.report import Report

HELD_OUT = 0.05
Corpus = dict[str, list[Document]]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return {d.NAME: list(d.generate(None, HELD_OUT, Report())) for d in (python_code, python_prose, unicode)}


def texts(corpus: Corpus, split: str, *domains: str) -> list[str]:
    return [d.text for name in domains or corpus for d in corpus[name] if d.split == split]


def windows(text: str, size: int = 50) -> set[str]:
    return {text[i : i + size] for i in range(len(text) - size + 1)}


@pytest.mark.parametrize("collapse", [False, True], ids=["as written", "white space collapsed"])
def test_no_held_out_prose_span_of_50_characters_is_in_any_training_domain(corpus: Corpus, collapse: bool) -> None:
    # A second way from the implementation's: sets of strings, no hashing of our own.
    def form(text: str) -> str:
        return re.sub(r"\s+", " ", text) if collapse else text

    held: set[str] = set()
    for text in texts(corpus, "held_out", "python_prose"):
        held |= windows(form(text))
    assert len(held) > 40_000
    starts = {window[:8] for window in held}
    for text in texts(corpus, "train"):
        form_of_text = form(text)
        for i in range(len(form_of_text) - 49):
            if form_of_text[i : i + 8] in starts and form_of_text[i : i + 50] in held:
                pytest.fail(f"held-out prose in training text: {form_of_text[i : i + 50]!r}")


def test_enough_is_there_to_train_and_to_score(corpus: Corpus) -> None:
    for name, documents in corpus.items():
        assert sum(len(d.text) for d in documents if d.split == "train") > 1_000_000, name
        assert sum(len(d.text) for d in documents if d.split == "held_out") > 40_000, name
        assert len({d.id for d in documents}) == len(documents)
        assert all(d.domain == name and d.text.strip() for d in documents)


def test_code_and_prose_of_a_module_are_on_the_same_side(corpus: Corpus) -> None:
    side = {d.id.split("/", 1)[1]: d.split for d in corpus["python_code"]}
    prose = [(d.id.split("/", 1)[1], d.split) for d in corpus["python_prose"]]
    shared = [(name, split) for name, split in prose if name in side]
    assert len(shared) > 300 and all(side[name] == split for name, split in shared)


def test_tests_site_packages_and_generated_tables_are_left_out() -> None:
    for module in modules():
        assert not {"site-packages", "test", "tests", "idle_test"}.intersection(module.path.split("/"))
    names = {module.name for module in modules()}
    assert {"json", "json.decoder", "argparse"} <= names and "pydoc_data.topics" not in names


def test_docstrings_are_taken_out_of_their_indentation(corpus: Corpus) -> None:
    text = next(d.text for d in corpus["python_prose"] if d.id == "python_prose/textwrap")
    assert "Wrap a single paragraph of text" in text and "def " not in text.split("\n")[0]
    assert sum(d.id.startswith("python_prose/topic:") for d in corpus["python_prose"]) > 50


def test_the_documents_are_the_same_each_time(corpus: Corpus) -> None:
    for domain in (python_code, unicode):
        assert list(domain.generate(None, HELD_OUT, Report())) == corpus[domain.NAME]


def test_unicode_says_what_unicodedata_says(corpus: Corpus) -> None:
    assert unicode.describe("é") == (
        "U+00E9 LATIN SMALL LETTER E WITH ACUTE; lowercase letter; decomposes into U+0065 U+0301; uppercase U+00C9"
    )
    assert unicode.describe("中") is None and unicode.describe("\ud800") is None
    lines = [line for d in corpus["unicode"] for line in d.text.split("\n") if line.startswith("U+")]
    assert len(lines) > 20_000
    for line in lines[::500]:
        code, name = line.split(";")[0].split(" ", 1)
        assert unicodedata.name(chr(int(code[2:], 16))) == name
    assert all(len(d.text.encode()) == len(d.text) for d in corpus["unicode"]), "characters are named, not printed"
