"""changes.NAME: from so many tokens on, another mixture or another schedule → boundaries between steps

    tokens   0 ────────────────── at_tokens ────────── end
    mixture  data.weights          weights
    rate     optim's schedule      a schedule of its own, laid over what is left of the run

All of it is a function of the step, as everything in a run: nothing is saved, so nothing can be lost by a resume.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from packtrain.errors import UserError
from packtrain.training.schedule import OptimConfig, check_warmup, learning_rate
from packtrain.training.steps import Steps

SCHEDULE = ("learning_rate", "schedule", "warmup_steps", "final_fraction", "decay_fraction")


@dataclass(frozen=True)
class Change:
    """What is different from the first step on that begins at or after `at_tokens`; None stays as it was.

    weights: as data.weights, all of them anew. Any of the others begins a schedule that reaches to the end of the run:
    learning_rate is its peak (None: the rate that was reached), warmup_steps leads up to it (None: no warm-up), the
    rest are as in `optim`. Annealing is schedule=wsd decay_fraction=1 final_fraction=0: linear to nothing.
    """

    at_tokens: int
    weights: dict[str, float] | None = None
    learning_rate: float | None = None
    schedule: Literal["llama", "constant", "wsd"] | None = None
    warmup_steps: int | None = None
    final_fraction: float | None = None
    decay_fraction: float | None = None

    def of_schedule(self) -> dict[str, Any]:
        """The settings of a new schedule that are given."""
        return {name: getattr(self, name) for name in SCHEDULE if getattr(self, name) is not None}


@dataclass(frozen=True)
class Boundary:
    """A change in its place: `step` (from 0) is the first that has it; `optim` its schedule, None where it has none."""

    name: str
    step: int
    tokens: int
    weights: dict[str, float] | None
    optim: OptimConfig | None

    def record(self) -> dict[str, Any]:
        """What the run's ledger keeps."""
        schedule = {} if self.optim is None else {name: getattr(self.optim, name) for name in SCHEDULE}
        weights = {} if self.weights is None else {"weights": self.weights}
        return {"name": self.name, "after_step": self.step, "after_tokens": self.tokens, **weights, **schedule}

    def line(self) -> str:
        """`anneal, after step 10 (2,560 tokens): a 0.25, b 0.75; wsd from 0.001`."""
        said = [] if self.weights is None else [", ".join(f"{d} {w:g}" for d, w in self.weights.items())]
        if self.optim is not None:
            said.append(f"{self.optim.schedule} from {self.optim.learning_rate:g}")
        return f"{self.name}, after step {self.step} ({self.tokens:,} tokens): {'; '.join(said)}"


@dataclass(frozen=True)
class Schedule:
    """step → learning rate. `legs`: (first step, schedule from there to the end of the run), the first at step 0."""

    legs: tuple[tuple[int, OptimConfig], ...]
    total: int

    def rate(self, step: int) -> float:
        start, config = [leg for leg in self.legs if leg[0] <= step][-1]
        return learning_rate(config, step - start, self.total - start)


def plan_changes(
    changes: Mapping[str, Change], optim: OptimConfig, steps: Steps
) -> tuple[tuple[Boundary, ...], Schedule]:
    """Boundaries in their order, and the schedule through all of them.

    Raises `UserError`, naming the change, for a boundary outside the run or shared by two, for one that changes
    nothing, and for bad values.
    """
    boundaries: list[Boundary] = []
    schedule = Schedule(((0, optim),), steps.total)
    for name, change in sorted(changes.items(), key=lambda item: item[1].at_tokens):
        step = -(-change.at_tokens // steps.batch_tokens)
        if not 0 < step < steps.total:
            raise UserError(
                f"changes.{name}.at_tokens={change.at_tokens} is not inside the run of {steps.total_tokens} tokens; "
                f"give {steps.batch_tokens} to {(steps.total - 1) * steps.batch_tokens}"
            )
        if boundaries and boundaries[-1].step == step:
            raise UserError(
                f"changes.{boundaries[-1].name} and changes.{name} begin at the same step, {step}: make one of them"
            )
        _check_weights(name, change)
        own = change.of_schedule()
        if not own and change.weights is None:
            raise UserError(f"changes.{name} changes nothing: give it weights or {', '.join(SCHEDULE)}")
        planned = _schedule_of(name, own, optim, schedule.rate(step), steps.total - step) if own else None
        if planned is not None:
            schedule = Schedule((*schedule.legs, (step, planned)), steps.total)
        boundaries.append(Boundary(name, step, step * steps.batch_tokens, change.weights, planned))
    return tuple(boundaries), schedule


def blended(first: Mapping[str, float], boundaries: Sequence[Boundary], total: int) -> dict[str, float]:
    """Each domain's share of a whole run of `total` steps that begins with the shares `first`."""
    phases = [(0, dict(first)), *((b.step, _normalised(b.weights)) for b in boundaries if b.weights is not None)]
    ends = [*(start for start, _ in phases[1:]), total]
    found: dict[str, float] = {}
    for (start, shares), end in zip(phases, ends, strict=True):
        for domain, share in shares.items():
            found[domain] = found.get(domain, 0.0) + share * (end - start) / total
    return found


def _normalised(weights: Mapping[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {domain: weight / total for domain, weight in weights.items() if weight > 0}


def _check_weights(name: str, change: Change) -> None:
    for domain, weight in (change.weights or {}).items():
        if not math.isfinite(weight) or weight < 0:
            raise UserError(f"changes.{name}.weights.{domain}={weight}: expected 0 or more")
    if change.weights is not None and not any(change.weights.values()):
        raise UserError(f"changes.{name}.weights: give at least one domain a positive weight")


def _schedule_of(name: str, own: Mapping[str, Any], optim: OptimConfig, reached: float, left: int) -> OptimConfig:
    if reached <= 0 and "learning_rate" not in own:
        raise UserError(f"changes.{name}: the learning rate is 0 there; give changes.{name}.learning_rate")
    try:
        planned = dataclasses.replace(optim, **{"learning_rate": reached, "warmup_steps": 0, **own})
        check_warmup(planned, left)
    except UserError as error:
        raise UserError(str(error).replace("optim.", f"changes.{name}.")) from error
    return planned
