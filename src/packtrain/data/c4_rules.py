"""page → lines that end as sentences do, hold enough words and no notice → page with enough sentences, or none

The rules of C4 (Raffel et al., 2020, section 2.2) with the numbers of its released code: lines of 5 words, pages of
3 sentences (the paper's editions differ; some programs have them the other way round).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from packtrain.data.documents import Document
from packtrain.data.sentences import sentences
from packtrain.data.step import Tally
from packtrain.errors import UserError

CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
POLICY = re.compile("terms of use|privacy policy|cookie policy|uses cookies|use of cookies|use cookies")
ELLIPSIS = "..."


@dataclass(frozen=True)
class Rules:
    """Each rule can be switched off: a number by 0, a list by [].

    terminal              what a line must end in, but not in an ellipsis
    min_words             a line with fewer words is cut; max_word_characters: so is one with a longer word
    min_sentences         a page with fewer sentences left is dropped
    curly_brackets        drop pages with { in a line that passed so far; lorem_ipsum likewise
    whole_page            look for the two on all lines: the paper's words; its code looks where this says false
    javascript, policy    cut lines that speak of JavaScript, of cookies, terms of use or privacy policies
    citations             remove [1], [edit] and [citation needed] inside lines
    """

    terminal: tuple[str, ...] = (".", "?", "!", '"')
    min_words: int = 5
    max_word_characters: int = 1000
    min_sentences: int = 3
    curly_brackets: bool = True
    lorem_ipsum: bool = True
    whole_page: bool = False
    javascript: bool = True
    policy: bool = True
    citations: bool = True
    name: ClassVar[str] = "c4 rules"

    def __post_init__(self) -> None:
        for key in ("min_words", "max_word_characters", "min_sentences"):
            if getattr(self, key) < 0:
                raise UserError(f"rules.{key}={getattr(self, key)}: expected 0 or more")

    def __call__(self, documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
        for document in documents:
            text, reason = self.clean(document.text, tally)
            if reason:
                tally.drop(document, reason)
            else:
                yield tally.change(document, replace(document, text=text))

    def clean(self, text: str, tally: Tally) -> tuple[str, str | None]:
        """(the text that stays, None), or ("", why the page goes)."""
        kept: list[str] = []
        if self.whole_page and (reason := self._page(text)):
            return "", reason
        for raw in text.splitlines():
            line = raw.strip()
            if not line:
                continue
            words = line.split()
            if self.max_word_characters and max(map(len, words)) > self.max_word_characters:
                tally.cut("line with a word too long")
                continue
            if self.citations and "[" in line:
                line = CITATION.sub("", line)
            if self.terminal and (not line.endswith(self.terminal) or line.endswith(ELLIPSIS)):
                tally.cut("line without terminal punctuation")
                continue
            if len(words) < self.min_words:
                tally.cut("line with too few words")
                continue
            if reason := self._page(line):
                return "", reason
            lower = line.lower()
            if self.javascript and "javascript" in lower:
                tally.cut("line about JavaScript")
            elif self.policy and POLICY.search(lower):
                tally.cut("line about cookies or policies")
            else:
                kept.append(line)
        if not kept or (self.min_sentences and sum(len(sentences(line)) for line in kept) < self.min_sentences):
            return "", "too few sentences" if kept else "no line left"
        return "\n".join(kept), None

    def _page(self, text: str) -> str | None:
        if self.curly_brackets and "{" in text:
            return "curly bracket"
        if self.lorem_ipsum and "lorem ipsum" in text.lower():
            return "lorem ipsum"
        return None


@dataclass(frozen=True)
class BadWords:
    """Drops the pages in which a word of a list stands. path: a text file, a word or phrase a line; null: no list."""

    path: str | None = None
    name: ClassVar[str] = "bad words"

    def __call__(self, documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
        pattern = self.pattern()
        for document in documents:
            if pattern is not None and pattern.search(document.text.lower()):
                tally.drop(document, "bad word")
            else:
                yield tally.keep(document)

    def pattern(self) -> re.Pattern[str] | None:
        """Whole words; where letters stand without spaces (Chinese, Japanese, Thai) anywhere."""
        if self.path is None:
            return None
        try:
            words = Path(self.path).read_text(encoding="utf-8").lower().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"bad_words.path={self.path}: cannot be read ({error}); a UTF-8 file, a word a line"
            ) from None
        words = sorted({word.strip() for word in words if word.strip()}, key=len, reverse=True)
        if not words:
            raise UserError(f"bad_words.path={self.path}: no words in it; a word or phrase a line")
        bound = [rf"(?<!\w){re.escape(w)}(?!\w)" if _spaced(w) else re.escape(w) for w in words]
        return re.compile("|".join(bound))


def _spaced(word: str) -> bool:
    return all(ord(c) < 0x0E00 or 0x1E00 <= ord(c) < 0x3000 or 0xAC00 <= ord(c) < 0xD7B0 for c in word)
