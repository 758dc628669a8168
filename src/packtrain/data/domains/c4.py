"""WET, WARC or JSON-lines pages → language → C4's rules for lines and pages → bad words → repeated spans cut"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from packtrain.data import web_pages
from packtrain.data.c4_rules import BadWords, Rules
from packtrain.data.documents import Document
from packtrain.data.domain import Domain
from packtrain.data.language import Language
from packtrain.data.repeated_spans import RepeatedSpans
from packtrain.data.step import AnyStep, Skips

NAME = "c4"


@dataclass(frozen=True)
class Parameters(web_pages.Pages):
    """Of the pages, and of each step."""

    language: Language = field(default_factory=Language)
    rules: Rules = field(default_factory=Rules)
    bad_words: BadWords = field(default_factory=BadWords)
    repeated_spans: RepeatedSpans = field(default_factory=RepeatedSpans)


def inputs(path: Path, parameters: Parameters) -> list[Path]:
    parameters.bad_words.pattern()  # a list that cannot be read is said before hours of work
    return web_pages.inputs(path, parameters)


def read(path: Path, name: str, parameters: Parameters, skips: Skips) -> Iterator[Document]:
    return web_pages.read(path, name, NAME, parameters, skips)


def steps(parameters: Parameters) -> list[AnyStep]:
    found: list[AnyStep] = [parameters.language, parameters.rules]
    if parameters.bad_words.path is not None:
        found.append(parameters.bad_words)
    if parameters.repeated_spans.length:
        found.append(parameters.repeated_spans)
    return found


DOMAIN = Domain(NAME, Parameters, inputs, read, steps, needs_input="a folder of WET, WARC or JSON-lines files")
