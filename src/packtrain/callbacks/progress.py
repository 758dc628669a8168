"""steps → a bar on a terminal, plain lines elsewhere: loss, tokens/s, MFU, watts, time left"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm

from packtrain.callbacks.meter import RunLog


class Progress(ProgressBar):
    """One bar for the whole run. Its numbers are those of the last logged row: it never waits for a device itself."""

    def __init__(self, log: RunLog, line_seconds: float = 15.0) -> None:
        super().__init__()
        self.log_row, self.line_seconds = log, line_seconds
        self._bar: tqdm | None = None
        self._begin = self._said = 0.0
        self._first = 0

    def disable(self) -> None:
        self._bar = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module: Any = pl_module
        self._first = trainer.global_step
        self._begin = self._said = time.monotonic()
        if sys.stderr.isatty():
            batch = module.steps.batch_tokens
            known = all(os.get_terminal_size(sys.stderr.fileno()))  # a recording says 0
            self._bar = tqdm(
                total=module.steps.total_tokens, initial=self._first * batch, desc="train", unit="tok", unit_scale=True,
                dynamic_ncols=known, ncols=None if known else 100, nrows=None if known else 20, smoothing=0.05,
            )  # fmt: skip

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        module: Any = pl_module
        step = trainer.global_step
        if self._bar is not None:
            self._bar.set_postfix_str(self._numbers(), refresh=False)
            self._bar.update(module.steps.batch_tokens)
        elif time.monotonic() - self._said > self.line_seconds or step == module.steps.total:
            self._said = time.monotonic()
            left = (self._said - self._begin) / max(1, step - self._first) * (module.steps.total - step)
            print(
                f"train step {step}/{module.steps.total} {self._numbers()}, left {_clock(left)}",
                file=sys.stderr,
                flush=True,
            )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _numbers(self) -> str:
        row = self.log_row.row
        parts = [f"loss {row['train/loss']:.3f}"] if "train/loss" in row else []
        if "throughput/tokens_per_second" in row:
            parts.append(f"{row['throughput/tokens_per_second']:,.0f} tokens/s")
        if "throughput/mfu" in row:
            parts.append(f"MFU {row['throughput/mfu']:.0%}")
        if "carbon/power_watts" in row:
            parts.append(f"{row['carbon/power_watts']:,.0f} W")
        return ", ".join(parts)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
