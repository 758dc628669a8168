"""A callback that ends a run after a step, as a signal would"""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback


class Stop(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Any, *arguments: Any) -> None:
        trainer.should_stop |= trainer.global_step >= self.step
