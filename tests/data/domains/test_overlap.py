"""Every shared window of 50 characters is found, as written and with white space collapsed, and nothing else"""

from __future__ import annotations

import random
import re

import numpy as np
import pytest

from packtrain.data.domains.overlap import TrainingText
from packtrain.data.domains.python_prose import cut_overlaps
from packtrain.data.report import Report

SENTENCE = "The quick brown llama packs exactly fifty characters and some more."


def test_a_span_is_found_exactly_where_it_stands() -> None:
    text = f"before {SENTENCE} after"
    [mask] = TrainingText(["nothing", f"x{SENTENCE}y"]).overlaps([text])
    found = np.flatnonzero(mask)
    assert text[found[0] : found[-1] + 1] == SENTENCE and len(found) == len(SENTENCE)


def test_49_characters_are_not_enough() -> None:
    assert not TrainingText([SENTENCE[:49]]).overlaps([SENTENCE])[0].any()
    assert TrainingText([SENTENCE[:50]]).overlaps([SENTENCE])[0].sum() == 50


def test_indentation_and_line_breaks_do_not_hide_a_span() -> None:
    [mask] = TrainingText([SENTENCE.replace(" ", "\n    \t")]).overlaps(["a", SENTENCE])[1:]
    assert mask.sum() >= 60
    assert TrainingText([SENTENCE]).overlaps([SENTENCE.replace(" ", "\u2003 \n")])[0].any()


def test_a_span_across_two_training_texts_is_none() -> None:
    assert not TrainingText([SENTENCE[:30], SENTENCE[30:]]).overlaps([SENTENCE])[0].any()
    assert not TrainingText([SENTENCE]).overlaps([SENTENCE[:30], SENTENCE[30:]])[0].any()


@pytest.mark.parametrize("window", [1, 2, 3, 5, 8, 13])
def test_the_hash_finds_what_a_plain_search_finds(window: int) -> None:
    chance = random.Random(window)
    for _ in range(50):
        training = ["".join(chance.choices("ab c\n", k=chance.randrange(40))) for _ in range(3)]
        held = ["".join(chance.choices("ab c\n", k=chance.randrange(40))) for _ in range(3)]
        masks = TrainingText(training, window).overlaps(held)
        for text, mask in zip(held, masks, strict=True):
            plain = np.zeros(len(text), dtype=bool)
            for i in range(len(text) - window + 1):
                if any(text[i : i + window] in t for t in training):
                    plain[i : i + window] = True
            assert (mask >= plain).all()
            if not plain.any() and mask.any():  # then it was found with white space collapsed
                forms = [re.sub(r"\s+", " ", t) for t in training]
                own = re.sub(r"\s+", " ", text)
                assert any(own[i : i + window] in f for f in forms for i in range(len(own) - window + 1))


def test_paragraphs_that_overlap_are_cut_and_counted_and_their_neighbours_stay() -> None:
    report = Report()
    text = f"First paragraph of its own.\n\n{SENTENCE}\n\nLast paragraph of its own."
    [cut, gone] = cut_overlaps([text, SENTENCE], TrainingText([SENTENCE]), report)
    assert cut == "First paragraph of its own.\n\nLast paragraph of its own.\n" and gone == ""
    assert report.cut["overlaps training text: paragraphs"] == 2


def test_neighbours_that_a_cut_brings_together_are_checked_again() -> None:
    first, last = "A paragraph of thirty letters.", "Another one of thirty letters."
    training = TrainingText([SENTENCE, f"{first}\n\n{last}"])
    [left] = cut_overlaps([f"{first}\n\n{SENTENCE}\n\n{last}\n\nAlone."], training, Report())
    assert left == "Alone.\n"
