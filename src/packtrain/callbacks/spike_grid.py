"""checkpoints of a run → the one that a rewind goes back to; a step → whether another mixture begins with it"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packtrain.callbacks.checkpointing import Checkpointing
from packtrain.checkpoint.directory import committed
from packtrain.training.changes import Boundary
from packtrain.training.strategy import MeshStrategy


def checkpointing_of(trainer: Any) -> Checkpointing | None:
    return next((callback for callback in trainer.callbacks if isinstance(callback, Checkpointing)), None)


def begins_mixture(step: int, boundaries: Sequence[Boundary]) -> bool:
    """Whether `step` (from 1) is the first of another mixture, whose loss is another."""
    return any(b.weights is not None and b.step == step - 1 for b in boundaries)


def go_back_to(trainer: Any, run_dir: Path, step: int, every: int | None, rewind_steps: int) -> int | None:
    """The step of the newest checkpoint at least `rewind_steps` before the update of `step`, else of the oldest; None
    where there is none.

    Only those at multiples of `every` count: a stop in between leaves others, and an interrupted run must go where an
    uninterrupted one goes. A save under way is waited for.
    """
    if isinstance(trainer.strategy, MeshStrategy):
        trainer.strategy.wait()
    if every is None:
        return None
    saved = [int(path.name.removeprefix("step-")) for path in committed(run_dir)]
    grid = [at for at in saved if at % every == 0 and at < step]
    early = [at for at in grid if at <= step - 1 - rewind_steps]
    return early[-1] if early else min(grid, default=None)
