"""what a task asks a model (Likelihood, Generate), and what comes back (Scored, Completions)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Likelihood:
    """How likely is `continuation` behind `context`? An empty context is the beginning of a text."""

    context: str
    continuation: str


@dataclass(frozen=True)
class Generate:
    """`n` continuations of `context`, each up to the first of `stop`, the end of text, or `max_tokens`."""

    context: str
    stop: tuple[str, ...] = ()
    max_tokens: int = 64
    n: int = 1
    temperature: float = 0.0
    top_p: float = 1.0


@dataclass(frozen=True)
class Scored:
    """ln p(continuation | context) in nats, over `tokens` of it; greedy: each was the likeliest; cut: the context was
    longer than the model looks back, and its beginning left out."""

    log_likelihood: float
    tokens: int
    greedy: bool = False
    cut: bool = False


@dataclass(frozen=True)
class Completions:
    """The `n` texts of a `Generate`; cut as in `Scored`."""

    texts: tuple[str, ...]
    cut: bool = False


Request = Likelihood | Generate
Answer = Scored | Completions


@dataclass(frozen=True)
class Item:
    """One row of a task, ready to be asked about. context: header + examples + prompt; preamble: header + examples."""

    index: int
    row: dict[str, Any]
    context: str
    preamble: str = ""
    requests: tuple[Request, ...] = field(default=())


class Answerer(Protocol):
    """A model, or an oracle in its place. `numbers[i]` seeds request i, so that its texts depend on nothing else."""

    def answer(self, requests: Sequence[Request], numbers: Sequence[int]) -> Sequence[Answer]: ...
