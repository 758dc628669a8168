"""Domain: inputs(path) → files → read(file) → raw documents → steps → clean documents; Generator: documents of its own

data/domains/<name>.py exports `DOMAIN`, one of the two; `conf/domain/<name>.yaml` holds its name and its parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packtrain.data.documents import Document
from packtrain.data.report import Report
from packtrain.data.step import AnyStep, Skips

Source = Path | str  # a str is an fsspec URL: memory://, s3://, https://


@dataclass(frozen=True)
class NoParameters:
    """For a domain without settings."""


@dataclass(frozen=True)
class Domain:
    """A domain made from files, each read on its own, on any number of processes.

    parameters  a frozen dataclass whose fields all have defaults; its YAML is checked against it
    inputs      (path, parameters) → what is read, sorted: files, or folders where `read` takes folders.
                Nothing that fits: `UserError` saying what is expected
    read        (file, its name below the path, parameters, skips) → raw documents, streaming; what is damaged is
                skipped and counted, never raised. Ids are unique in the domain
    steps       (parameters) → the cleaning, in order
    needs_input what `input=` may be, in words, for the message where it is missing
    urls        whether `input=` may be an fsspec URL
    adjust      (input, parameters) → the parameters as this input wants them
    default     what is read where no input is given; None: an input must be given
    version     raise it when the same parameters make other documents
    """

    name: str
    parameters: type
    inputs: Callable[[Any, Any], Sequence[Source]]
    read: Callable[[Any, str, Any, Skips], Iterator[Document]]
    steps: Callable[[Any], Sequence[AnyStep]]
    needs_input: str = "a file or a folder"
    urls: bool = False
    adjust: Callable[[Any, Any], Any] = lambda source, parameters: parameters
    default: Callable[[], Path] | None = None
    version: int = 1


@dataclass(frozen=True)
class Generator:
    """A domain that one generator makes as a whole, split and all; the corpora of the running Python.

    generate  (input or None, held_out, report) → the kept documents; the dropped ones are told to the report
    origin    (input or None) → a short text that changes when the raw data does
    """

    name: str
    generate: Callable[[Path | None, float, Report], Iterator[Document]]
    origin: Callable[[Path | None], str]
    parameters: type = NoParameters
