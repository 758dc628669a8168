"""every so many tokens, at the end, and when asked to stop: save; then delete what the policy does not keep"""

from __future__ import annotations

import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from packtrain.checkpoint.directory import checkpoint_path, retain
from packtrain.errors import UserError
from packtrain.training.strategy import MeshStrategy


class Checkpointing(Checkpoint):
    """Saves every `interval_tokens` (None: 50 times a run) and keeps the last `keep_last`, and every `keep_every`-th.

    A subclass of Lightning's `Checkpoint`, which makes Lightning call it after all other callbacks: the row of a step
    is written and flushed before the step's checkpoint is committed.

    On several processes training waits only until its state is copied (`asynchronous`); the last save is waited for.
    """

    def __init__(
        self,
        run_dir: str,
        interval_tokens: float | None = None,
        keep_last: int = 2,
        keep_every: int | None = None,
        asynchronous: bool = True,
    ) -> None:
        if keep_last < 1 or (keep_every is not None and keep_every < 1):
            raise UserError(
                "callbacks.checkpointing: keep_last and keep_every must be at least 1 (keep_every=null: none)"
            )
        self.run_dir, self.interval_tokens = run_dir, interval_tokens
        self.keep_last, self.keep_every, self.asynchronous = keep_last, keep_every, asynchronous
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
        if step % every == 0 or step == module.steps.total or trainer.should_stop:
            self.save(trainer, module, step, every)

    def save(self, trainer: Trainer, module: Any, step: int, every: int) -> None:
        if step == self.saved_step:
            return
        module.require_finite(step)
        begin = time.perf_counter()
        strategy = trainer.strategy

        def keep() -> None:
            since = None if self.reach is None else (step - self.reach) // every * every
            retain(self.run_dir, self.keep_last, every * self.keep_every if self.keep_every else None, since)

        if isinstance(strategy, MeshStrategy):
            strategy.on_commit(keep)  # on rank 0, when the save is committed in the background
        trainer.save_checkpoint(checkpoint_path(self.run_dir, step))
        if not isinstance(strategy, MeshStrategy):
            keep()
        elif trainer.should_stop or step == module.steps.total or not self.asynchronous:
            strategy.wait()
        self.saved_step = step
        module.clock.add("checkpoint", time.perf_counter() - begin)
