"""WARC or WET ─pages─→ repeated lines cut → language → 5-gram perplexity, percentiles → like Wikipedia's references

CCNet (Wenzek et al., 2019) as LLaMA used it. Both models of quality are the user's own, trained by `packtrain quality`;
a step whose model is not given is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from packtrain.data import web_pages
from packtrain.data.documents import Document
from packtrain.data.domain import Domain
from packtrain.data.language import Language
from packtrain.data.ngram import MODEL
from packtrain.data.perplexity import Percentiles, Perplexity
from packtrain.data.references import References
from packtrain.data.repeated_lines import RepeatedLines
from packtrain.data.step import AnyStep, Skips
from packtrain.errors import UserError

NAME = "common_crawl"


@dataclass(frozen=True)
class Quality:
    """model: a folder made by `packtrain quality train=lm`, or null: no perplexity, no percentiles."""

    model: str | None = None
    percentiles: Percentiles = field(default_factory=Percentiles)

    def check(self) -> None:
        """Raises `UserError` where the model is not there: asked before any work, not when the command is composed."""
        if self.model is not None and not (Path(self.model) / MODEL).is_file():
            remedy = "make one with: packtrain quality train=lm"
            raise UserError(f"domain.quality.model={self.model}: no language model is there; {remedy}")


@dataclass(frozen=True)
class Likeness:
    """model: a file made by `packtrain quality train=classifier`, or null: every page passes. minimum: probability."""

    model: str | None = None
    minimum: float = 0.5

    def check(self) -> None:
        """Raises `UserError` where the model is not there."""
        if self.model is not None and not Path(self.model).is_file():
            remedy = "make one with: packtrain quality train=classifier"
            raise UserError(f"domain.references.model={self.model}: no classifier is there; {remedy}")


@dataclass(frozen=True)
class Parameters(web_pages.Pages):
    """Of the pages, and of each step."""

    repeated_lines: RepeatedLines = field(default_factory=RepeatedLines)
    language: Language = field(default_factory=Language)
    quality: Quality = field(default_factory=Quality)
    references: Likeness = field(default_factory=Likeness)


def inputs(path: Path, parameters: Parameters) -> list[Path]:
    parameters.quality.check()
    parameters.references.check()
    return web_pages.inputs(path, parameters)


def read(path: Path, name: str, parameters: Parameters, skips: Skips) -> Iterator[Document]:
    return web_pages.read(path, name, NAME, parameters, skips)


def steps(parameters: Parameters) -> list[AnyStep]:
    found: list[AnyStep] = [parameters.repeated_lines, parameters.language]
    if parameters.quality.model is not None:
        found += [Perplexity(parameters.quality.model), parameters.quality.percentiles]
    if parameters.references.model is not None:
        found.append(References(parameters.references.model, parameters.references.minimum))
    return found


DOMAIN = Domain(NAME, Parameters, inputs, read, steps, needs_input="a folder of WET or WARC files")
