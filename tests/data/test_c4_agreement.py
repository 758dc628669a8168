"""C4's rules beside datatrove's own filter on the same pages: the same lines stay, for the same pages

Sentences are counted by datatrove with spaCy, which is no dependency of ours: docs/domains/c4.md tells how that agrees.
"""

import pytest

from packtrain.data.c4_rules import Rules
from packtrain.data.documents import Document
from packtrain.data.domains import c4
from packtrain.data.step import Skips, Tally
from tests.data.web import corpus

PAGES = [
    "Llamas carry loads over the Andes.\nHome\nThey hum when tired!\nRead on about the llamas of Peru...",
    "A line with five words.\nFour words are few.\n\n  Blanks around a line go.  \nIs this one a question?",
    "She said \"it is a llama.\"\nIt ends in an apostrophe so 'they said it'\nA citation[1] loses its mark[edit].",
    "All about cookies and how this site uses cookies.\nPlease enable JavaScript in your browser now.",
    "This page has code in it { like this }.\nAnd another line stands here too.",
    "Here comes Lorem Ipsum dolor sit amet.\nAnd another line stands here too.",
    "{ no sentence\nBut this line is a good one.",
    "x" * 1001 + " is a word too long here.\nBut this line is a good one.",
    "",
]


def pages() -> list[str]:
    folder = corpus("commoncrawl")
    found = list(PAGES)
    for extract in ("main", "all"):
        parameters = c4.Parameters(extract=extract, prefer="warc" if extract == "main" else "wet")
        for path in c4.inputs(folder, parameters):
            found += [d.text for d in c4.read(path, path.name, parameters, Skips())]
    return found


@pytest.mark.parametrize("apostrophe", [True, False])
def test_the_same_lines_stay_as_in_datatrove(apostrophe: bool) -> None:
    """datatrove takes an apostrophe for terminal punctuation, the paper does not."""
    filters = pytest.importorskip("datatrove.pipeline.filters.c4_filters", reason="datatrove is not installed")
    data = pytest.importorskip("datatrove.data", reason="datatrove is not installed")
    theirs = filters.C4QualityFilter(min_num_sentences=-1, min_words_per_line=5)
    ours = Rules(min_sentences=0, terminal=(".", "?", "!", '"', "'") if apostrophe else Rules().terminal)
    texts, differ = pages(), 0
    for text in texts:
        page = data.Document(text=text, id="1")
        kept = page.text if theirs.filter(page) is True else ""
        (after,) = list(ours([Document("1", text, "t", "t")], Tally("c4"))) or [Document("1", "", "t", "t")]
        if apostrophe:
            assert after.text == kept
        else:
            differ += after.text != kept
            assert [line for line in kept.split("\n") if line and not line.endswith("'")] == after.text.splitlines()
    assert len(texts) > 100
    assert apostrophe or differ >= 1
