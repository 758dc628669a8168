"""Callbacks that a job of these tests loads by name: what it saw of the data, and misbehaviour on purpose"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback


class Samples(Callback):
    """Appends `step digest` of every batch to RUN/samples-<rank>.txt; a resumed run repeats what it lost."""

    def __init__(self, run_dir: str) -> None:
        self.run_dir = Path(run_dir)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        digest = hashlib.sha256(batch.cpu().numpy().tobytes()).hexdigest()
        with (self.run_dir / f"samples-{trainer.global_rank}.txt").open("a") as file:
            file.write(f"{trainer.global_step} {digest}\n")


class Slow(Callback):
    """Every step takes `seconds` longer, on rank `rank` only where one is given; so do the imports, once."""

    def __init__(self, seconds: float, rank: int | None = None) -> None:
        self.seconds, self.rank = seconds, rank

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if self.rank in (None, trainer.global_rank):
            time.sleep(self.seconds)


class Crash(Callback):
    """Raises an error that nobody foresaw."""

    def __init__(self, step: int, rank: int = 0) -> None:
        self.step, self.rank = step, rank

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self.step and trainer.global_rank == self.rank:
            raise ArithmeticError("nobody foresaw this")


class Hang(Callback):
    """Stays in a step for good, once: beside a file `hung`, which the second life of the run finds."""

    def __init__(self, step: int, run_dir: str, rank: int = 0, frozen: bool = False) -> None:
        self.step, self.run_dir, self.rank, self.frozen = step, Path(run_dir), rank, frozen

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self.step and trainer.global_rank == self.rank:
            marker = self.run_dir / "hung"
            if not marker.exists():
                marker.touch()
                if self.frozen:
                    os.kill(os.getpid(), 19)  # SIGSTOP: not even a thread goes on
                time.sleep(3600)
