"""The published rules of C4, each by the smallest page that shows it"""

from pathlib import Path

import pytest

from packtrain.data.c4_rules import BadWords, Rules
from packtrain.data.repeated_spans import RepeatedSpans
from packtrain.data.sentences import sentences
from packtrain.data.step import Tally
from packtrain.errors import UserError
from tests.data.test_repeated_lines import run
from tests.data.web import document

GOOD = ["Llamas carry loads over the Andes.", "They hum when they are tired!", 'Do they spit? "Only at other llamas."']


def clean(*lines: str, **changes) -> tuple[str, str | None, dict[str, int]]:
    tally = Tally("rules")
    text, reason = Rules(**changes).clean("\n".join(lines), tally)
    return text, reason, dict(tally.removed)


def test_a_good_page_stays_as_it_is() -> None:
    assert clean(*GOOD) == ("\n".join(GOOD), None, {})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Home News Contact About us", "line without terminal punctuation"),
        ("Read more about the llamas of Peru...", "line without terminal punctuation"),
        ("Only four words here.", "line with too few words"),
        (f"A word like {'x' * 1001} is no word.", "line with a word too long"),
        ("Please enable JavaScript to view this page.", "line about JavaScript"),
        ("This site uses cookies to be nice to you.", "line about cookies or policies"),
        ("Read our Privacy Policy before you go on.", "line about cookies or policies"),
    ],
)
def test_a_line_is_cut_and_the_reason_counted(line: str, reason: str) -> None:
    assert clean(*GOOD, line) == ("\n".join(GOOD), None, {reason: 1})


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([*GOOD, "A function starts with a { as you know."], "curly bracket"),
        ([*GOOD, "Here stands Lorem Ipsum for the time being."], "lorem ipsum"),
        (GOOD[:2], "too few sentences"),
        (["Menu", "Contact"], "no line left"),
        ([], "no line left"),
    ],
)
def test_a_page_is_dropped_for_a_reason(lines: list[str], reason: str) -> None:
    assert clean(*lines)[:2] == ("", reason)


def test_the_paper_looks_for_brackets_on_the_whole_page_its_code_on_what_passed() -> None:
    page = [*GOOD, "function() { return 1 }"]
    assert clean(*page)[1] is None
    assert clean(*page, whole_page=True)[1] == "curly bracket"


def test_citation_marks_go() -> None:
    assert clean(GOOD[0], GOOD[1], "The llama[1] is a camelid[citation needed] of South America[edit].")[0].endswith(
        "The llama is a camelid of South America."
    )


def test_each_rule_can_be_switched_off() -> None:
    page = "{ lorem ipsum javascript privacy policy [1]"
    off = {"terminal": (), "min_words": 0, "max_word_characters": 0, "min_sentences": 0, "curly_brackets": False}
    more = {"lorem_ipsum": False, "javascript": False, "policy": False, "citations": False}
    assert clean(page, **off, **more) == (page, None, {})


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. Two! Three?", 3),
        ("Mr. Smith met Dr. J. R. Jones at St. Mary's.", 1),
        ("It costs 3.50 in the U.S. and e.g. 4.20 elsewhere. Cheap.", 2),
        ("“Quoted.” She left. (And so on.) 5 more came.", 4),
        ("no capitals. here no sentence ends", 1),
        ("Это первое. Это второе.", 2),
        ("  ", 0),
    ],
)
def test_sentences_are_counted(text: str, count: int) -> None:
    assert len(sentences(text)) == count


def test_bad_words_drop_the_page_as_whole_words(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("spitting\nbad llama\n糞\n", encoding="utf-8")
    step, tally = BadWords(str(tmp_path / "words.txt")), Tally("bad words")
    pages = ["No SPITTING here.", "A bad llama.", "これは糞だ", "Hospitting is no word.", "A bad, llama."]
    assert [d.text for d in step([document(p) for p in pages], tally)] == pages[3:]
    assert dict(tally.dropped) == {"bad word": 3}


def test_a_list_of_bad_words_that_is_none_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    for path, message in (("missing", "cannot be read"), ("empty", "no words in it")):
        with pytest.raises(UserError, match=rf"bad_words\.path=.*{message}"):
            BadWords(str(tmp_path / path)).pattern()


def test_all_but_one_of_a_repeated_three_sentence_span_go(tmp_path: Path) -> None:
    span = "The llama is a camelid. It lives in Peru. It eats grass."
    own = "One thing more. And another one. And a third."
    first, second = document(f"{own}\n{span}", "1"), document(f"{span} {own.replace('thing', 'word')}", "2")
    third = document(span.upper(), "3")
    texts, tally = run(RepeatedSpans(), [[first], [second, third]], tmp_path)
    assert texts == {"1": first.text, "2": own.replace("thing", "word")}
    assert dict(tally.removed) == {"repeated sentence": 3}
    assert dict(tally.dropped) == {"too few sentences beside repeated ones": 1}


def test_a_span_twice_in_one_page_stays_once(tmp_path: Path) -> None:
    span = "The llama is a camelid. It lives in Peru. It eats grass."
    texts, _ = run(RepeatedSpans(), [[document(f"{span}\nSomething between. \n{span}")]], tmp_path)
    assert texts == {"1": f"{span}\nSomething between."}


def test_two_equal_sentences_are_no_repeated_span(tmp_path: Path) -> None:
    pages = [document("Same one. Same two. First differs.", "1"), document("Same one. Same two. Second differs.", "2")]
    texts, _ = run(RepeatedSpans(), [pages], tmp_path)
    assert texts == {d.id: d.text for d in pages}
