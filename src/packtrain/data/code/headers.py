"""source text → the same without the licence and copyright paragraphs of the comments at its top

#!/usr/bin/env python      stays: what an interpreter or an editor reads is no boilerplate
# -*- coding: utf-8 -*-    stays
# Copyright 2020 X         goes, paragraph by paragraph: what else the comment says stays
'''A docstring.'''          stays, and with it everything after: only comments before the first code are looked at
"""

from __future__ import annotations

import re

from packtrain.data.code.languages import Comments

KEPT_LINE = re.compile(
    r"#!|.*coding[:=]\s*[-\w.]+|<\?(?:xml|php)|<!doctype|.*-\*-.*-\*-|.*\bvim?:|\s*[\"']use strict|"
    r"#\s*(?:type|ruff|mypy|pylint|flake8|cython|distutils)\s*:|//\s*(?:eslint|@ts-|go:build|\+build)|/[*/]\s*(?:eslint|jshint|global)\b|//go:",
    re.IGNORECASE,
)
LEGAL = re.compile(
    r"copyright|©|\(c\)\s*(?:\d{4}|[A-Z])|licen[sc]ed?\s+(?:under|to|according)|SPDX-|all rights reserved|"
    r"hereby granted|redistribution|gnu (?:lesser |library |affero )?general public|warrant(?:y|ies)|"
    r"as[- ]is\"?\s+basis|liab(?:le|ility)|this permission notice|conditions are met|copy of the licen[sc]e|"
    r"see the licen[sc]e|licen[sc]e (?:file|agreement)|in compliance with|"
    r"(?:distributed|released|provided|available) under|apache\.org/licenses|opensource\.org/licenses|"
    r"https?://\S*(?:licen[sc]es?\b|apache-?2)|"
    r"\b(?:mit|bsd|apache)\b.{0,30}licen[sc]e|endorse or promote|terms of the|governed by an?|free software|"
    r"^\W*licen[sc]e:|without limitation the rights|contributor licen[sc]e agreement|public domain",
    re.IGNORECASE,
)
BARE = re.compile(r"[\s#/*;%!.<>()\-={}+~_|]*$")
LOOKED_AT = 400  # lines: headers are at the top


def without_header(text: str, comments: Comments) -> tuple[str, int]:
    """(the text, how many paragraphs went). A byte-order mark, the line ends and everything else are as they were."""
    if not LEGAL.search(text[:20_000]):
        return text, 0
    lines = text.splitlines(keepends=True)
    head, rest = lines[:LOOKED_AT], lines[LOOKED_AT:]
    kept: list[str] = []
    gone = place = 0
    while place < len(head):
        line = head[place]
        if not line.strip() or KEPT_LINE.match(line.lstrip("\ufeff")):
            kept.append(line)
            place += 1
            continue
        end = _comment_end(head, place, comments)
        if end is None:
            break
        block, count = _without_legal(head[place:end], comments)
        kept += block
        gone += count
        place = end
    if not gone:
        return text, 0
    return "".join([*_without_gap(kept), *head[place:], *rest]), gone


def header(text: str, comments: Comments) -> str:
    """The comments before the first code, where a file's own licence stands; a docstring there too."""
    lines = text[:40_000].splitlines(keepends=True)[:LOOKED_AT]
    place = 0
    while place < len(lines):
        if not lines[place].strip() or KEPT_LINE.match(lines[place].lstrip("\ufeff")):
            place += 1
            continue
        end = _comment_end(lines, place, comments)
        if end is None:
            break
        place = end
    rest = "".join(lines[place:])
    docstring = re.match(r"[ruRU]*(\"\"\"|''')(.*?)\1", rest, re.DOTALL)
    return "".join(lines[:place]) + (docstring[2] if docstring else "")


def _comment_end(lines: list[str], place: int, comments: Comments) -> int | None:
    """Where the comment that begins at `place` ends; None where there is none. A run of line comments is one."""
    start = lines[place].lstrip(" \t\ufeff")
    for opening, closing in comments.block:
        if start.startswith(opening):
            if closing in start[len(opening) :]:
                after = start[len(opening) :].split(closing, 1)[1]
                return None if after.strip() else place + 1  # code behind it on the same line
            for i in range(place + 1, len(lines)):
                if closing in lines[i]:
                    return None if lines[i].split(closing, 1)[1].strip() else i + 1
            return None
    end = place
    while (
        end < len(lines)
        and _is_line_comment(lines[end], comments)
        and not (end > place and KEPT_LINE.match(lines[end]))
    ):
        end += 1
    return end if end > place else None


def _is_line_comment(line: str, comments: Comments) -> bool:
    return bool(comments.line) and line.lstrip(" \t\ufeff").startswith(comments.line)


def _without_legal(block: list[str], comments: Comments) -> tuple[list[str], int]:
    """The comment without its legal paragraphs, and their number; nothing at all where only its frame would be left."""
    opening = next((pair for pair in comments.block if block[0].lstrip(" \t\ufeff").startswith(pair[0])), None)
    kept: list[str] = []
    paragraph: list[str] = []
    gone = 0
    for line in [*block, ""]:
        if line and not BARE.match(line):
            paragraph.append(line)
            continue
        if paragraph and LEGAL.search("".join(paragraph)):
            gone += 1
            if opening:  # the delimiters stand on lines of their paragraphs: what opens and closes must stay
                kept += _frame(paragraph, *opening)
            while kept and BARE.match(kept[-1]) and line and BARE.match(line) and not opening:
                kept.pop()
        else:
            kept += paragraph
        paragraph = []
        if line:
            kept.append(line)
    if not gone:
        return block, 0
    if all(BARE.match(line) for line in kept):
        return [], gone
    return kept, gone


def _frame(paragraph: list[str], opening: str, closing: str) -> list[str]:
    """What must stay of a removed paragraph for the comment to begin and end."""
    found = []
    if paragraph[0].lstrip(" \t\ufeff").startswith(opening):
        found.append(opening + "\n")
    if closing in paragraph[-1]:
        found.append(closing + "\n")
    return found


def _without_gap(lines: list[str]) -> list[str]:
    """No blank lines where the header stood first, one at most between."""
    out: list[str] = []
    for line in lines:
        if line.strip() or (out and out[-1].strip()):
            out.append(line)
    return out
