"""every so many tokens, at the end, and when asked to stop: save; then delete what the policy does not keep"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from packtrain.callbacks.downstream import Downstream
from packtrain.callbacks.meter import RunLog
from packtrain.checkpoint.directory import checkpoint_path, choose, retain
from packtrain.errors import UserError
from packtrain.training.strategy import MeshStrategy


class Checkpointing(Checkpoint):
    """Saves every `interval_tokens` (None: 50 times a run) and keeps the last `keep_last`, and every `keep_every`-th.

    A subclass of Lightning's `Checkpoint`, which makes Lightning call it after all other callbacks: the row of a step
    is written and flushed before the step's checkpoint is committed.

    On several processes training waits only until its state is copied (`asynchronous`); the last save is waited for.

    choose: the val/… column of the run's rows by which a checkpoint is chosen, lower is better, or tasks: the
    mean of the downstream tasks' figures (higher is better). The best so far is saved when it is measured and kept,
    and is the one that other commands take of the run.
    """

    def __init__(
        self,
        run_dir: str,
        interval_tokens: float | None = None,
        keep_last: int = 2,
        keep_every: int | None = None,
        asynchronous: bool = True,
        choose: str | None = None,
    ) -> None:
        if keep_last < 1 or (keep_every is not None and keep_every < 1):
            raise UserError(
                "callbacks.checkpointing: keep_last and keep_every must be at least 1 (keep_every=null: none)"
            )
        if choose not in (None, "tasks") and not choose.startswith("val/"):
            raise UserError(
                f"callbacks.checkpointing.choose={choose}: expected val/loss, another val/… column of metrics.csv, "
                "tasks, or null"
            )
        self.run_dir, self.interval_tokens = run_dir, interval_tokens
        self.keep_last, self.keep_every, self.asynchronous = keep_last, keep_every, asynchronous
        self.choose, self.best = choose, {}
        self.saved_step = -1
        self.reach: int | None = None  # steps that a rewind may go back: what it needs is kept

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.saved_step = -1  # after a rewind the same steps come again, and their checkpoints are to be made again

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        module: Any = pl_module
        step = trainer.global_step
        every = module.steps.every(self.interval_tokens, 50)
        if self.choose and (figure := self._measured(trainer, step, module)) is not None and self._is_best(figure):
            self.best = {"step": step, "value": figure}
            self.save(trainer, module, step, every)
            if isinstance(trainer.strategy, MeshStrategy):
                trainer.strategy.wait()  # it is named below: it must be there
            if module.parallel.world.first:
                choose(self.run_dir, step, self.choose, figure)
        if step % every == 0 or step == module.steps.total or trainer.should_stop:
            self.save(trainer, module, step, every)

    def _measured(self, trainer: Trainer, step: int, module: Any) -> float | None:
        """The figure to choose by, where the row of this very step has it."""
        log = next((c for c in trainer.callbacks if isinstance(c, RunLog)), None)  # pyright: ignore
        if log is None or log.row.get("tokens") != step * module.steps.batch_tokens:
            return None
        if self.choose != "tasks":
            return log.row.get(self.choose or "")
        figures = [value for name, value in log.row.items() if name.startswith("tasks/")]
        return sum(figures) / len(figures) if figures else None

    def _is_best(self, figure: float) -> bool:
        before = self.best.get("value", -math.inf if self.choose == "tasks" else math.inf)
        return figure > before if self.choose == "tasks" else figure < before

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best} if self.best else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict.get("best", {})

    def save(self, trainer: Trainer, module: Any, step: int, every: int) -> None:
        if step == self.saved_step:
            return
        module.require_finite(step)
        begin = time.perf_counter()
        strategy = trainer.strategy

        def keep() -> None:
            since = None if self.reach is None else (step - self.reach) // every * every
            retain(
                self.run_dir,
                self.keep_last,
                every * self.keep_every if self.keep_every else None,
                since,
                self.best.get("step"),
            )

        if isinstance(strategy, MeshStrategy):
            strategy.on_commit(keep)  # on rank 0, when the save is committed in the background
        trainer.save_checkpoint(checkpoint_path(self.run_dir, step))
        if not isinstance(strategy, MeshStrategy):
            keep()
        elif trainer.should_stop or step == module.steps.total or not self.asynchronous:
            strategy.wait()
        self.saved_step = step
        module.clock.add("checkpoint", time.perf_counter() - begin)


def check_choice(callbacks: Iterable[Any]) -> None:
    """Raises `UserError` where a checkpoint is to be chosen by tasks and none is asked while training."""
    callbacks = list(callbacks)
    by_tasks = any(isinstance(c, Checkpointing) and c.choose == "tasks" for c in callbacks)
    if by_tasks and not any(isinstance(c, Downstream) and c.tasks for c in callbacks):
        raise UserError(
            "callbacks.checkpointing.choose=tasks: no task is asked while training; give callbacks.downstream.tasks="
            "[NAME] and callbacks.downstream.data_dir=PATH, or choose=val/loss"
        )
