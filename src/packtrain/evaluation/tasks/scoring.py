"""Item → requests → answers → what is kept of the item → figures; the registry of the ways to do so

A way to score is a class in a module of this folder, one line in `SCORINGS`, and the YAML files that name it.
"""

from __future__ import annotations

import importlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packtrain import settings
from packtrain.errors import UserError, did_you_mean
from packtrain.evaluation.tasks.requests import Answer, Answerer, Item, Request
from packtrain.evaluation.tasks.spec import TaskSpec

Kept = dict[str, Any]
HERE = "packtrain.evaluation.tasks"
SCORINGS = {  # name in a task's YAML → module:class, imported when it is needed
    "choice": "choice:Choice",
    "pairs": "pairs:Pairs",
    "truthfulqa_choice": "truthfulqa_choice:TruthfulQAChoice",
    "winogender": "winogender:WinoGender",
    "closed_book": "closed_book:ClosedBook",
    "mathematics": "mathematics:Mathematics",
    "programs": "programs:Programs",
    "toxicity": "toxicity:Toxicity",
    "truthful": "truthful:Truthful",
}


@dataclass(frozen=True)
class Figure:
    """A mean over `n` items and its standard error; None where nothing could be scored."""

    value: float | None
    stderr: float | None
    n: int


@dataclass(frozen=True)
class Used:
    """Something beside the task's own files. sha256: of its bytes (of a model, its weights)."""

    path: str
    sha256: str


@dataclass(frozen=True)
class Judge:
    """A second model, found and checked; `open` reads it."""

    sha256: str
    open: Callable[[], Answerer]


@dataclass(frozen=True)
class Surroundings:
    """What a scoring may use beside its own options."""

    data_dir: Path | None = None
    skip_malformed: bool = False
    allow_code_execution: bool = False
    device: str = "cpu"
    seed: int = 1
    say: Callable[[str], None] = print
    open_model: Callable[[str], Judge] | None = None


class Scoring(ABC):
    """The base of them all. Options: a frozen dataclass, what the YAML's `options` may hold. needs: fields that every
    row must have. metrics: the figures that there are whatever the rows hold; a task shows one of them first."""

    Options: Any = None
    needs: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()

    def __init__(self, name: str, spec: TaskSpec, around: Surroundings) -> None:
        self.name, self.spec, self.around = name, spec, around
        if self.Options is None and spec.options:
            raise UserError(f"tasks.{name}.options: scoring '{spec.scoring}' has none")
        self.options: Any = (
            settings.build(self.Options, spec.options, f"tasks.{name}.options") if self.Options else None
        )

    @abstractmethod
    def requests(self, item: Item) -> Sequence[Request]:
        """What the model is asked about `item`."""

    @abstractmethod
    def score(self, item: Item, answers: Sequence[Answer]) -> Kept:
        """What is kept of the item: plain values for JSON, enough for `figures`. Answers in the order of `requests`."""

    def finish(self, items: list[Kept]) -> list[Kept]:
        """Once, on rank 0, when all items are there: what needs a judge, a sandbox or a service."""
        return items

    @abstractmethod
    def figures(self, items: Sequence[Kept]) -> dict[str, Figure]:
        """name → figure; each of `metrics` is one of them."""

    def used(self) -> dict[str, Used]:
        """Option → the file or model that it names: the figures depend on what that holds, not on where it lies."""
        return {}


def make(name: str, spec: TaskSpec, around: Surroundings) -> Scoring:
    """The scoring that `spec` names. Raises `UserError` for one that there is not, options it does not have, or a
    metric that it does not give."""
    if spec.scoring not in SCORINGS:
        raise UserError(f"tasks.{name}.scoring={spec.scoring}{did_you_mean(spec.scoring, SCORINGS)}")
    module, _, cls = SCORINGS[spec.scoring].partition(":")
    made: Scoring = getattr(importlib.import_module(f"{HERE}.{module}"), cls)(name, spec, around)
    if spec.metric not in made.metrics:  # said now, not when every item is asked
        offered = ", ".join(made.metrics)
        raise UserError(f"tasks.{name}.metric={spec.metric}: scoring '{spec.scoring}' gives {offered}")
    return made


def mean(values: Iterable[float | bool | None]) -> Figure:
    """The mean of `values`, those missing (None) left out, with s / √n, s the standard deviation of a sample."""
    found = [float(value) for value in values if value is not None]
    n = len(found)
    if not n:
        return Figure(None, None, 0)
    middle = math.fsum(found) / n
    if n == 1:
        return Figure(middle, None, 1)
    variance = math.fsum((value - middle) ** 2 for value in found) / (n - 1)
    return Figure(middle, math.sqrt(variance / n), n)
