"""Callbacks that end a run after a step as a signal would, or have its disk full from then on"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback


class Stop(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Any, *arguments: Any) -> None:
        trainer.should_stop |= trainer.global_step >= self.step


class FullLog(Callback):
    """From a step on metrics.csv is a device that is always full; what stood in it is in kept.csv."""

    def __init__(self, run_dir: str, step: int) -> None:
        self.path, self.step = Path(run_dir) / "metrics.csv", step

    def on_train_batch_end(self, trainer: Any, *arguments: Any) -> None:
        if trainer.is_global_zero and trainer.global_step == self.step and not self.path.is_symlink():
            self.path.rename(self.path.with_name("kept.csv"))
            self.path.symlink_to("/dev/full")
