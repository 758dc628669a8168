"""checkpoints of a run → the one that a rewind goes back to; a step → whether its batch begins another mixture"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packtrain.callbacks.checkpointing import Checkpointing
from packtrain.checkpoint.directory import committed
from packtrain.training.changes import Boundary
from packtrain.training.rewind import Rewind, batch_of
from packtrain.training.strategy import MeshStrategy


def checkpointing_of(trainer: Any) -> Checkpointing | None:
    return next((callback for callback in trainer.callbacks if isinstance(callback, Checkpointing)), None)


def begins_mixture(step: int, rewinds: Sequence[Rewind], boundaries: Sequence[Boundary]) -> bool:
    """Whether between the batch of `step` (from 1) and the one before it the mixture changes, and the loss with it."""
    before, own = batch_of(step - 2, rewinds), batch_of(step - 1, rewinds)
    return any(b.weights is not None and before < b.step <= own for b in boundaries)


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
