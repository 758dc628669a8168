"""Ctrl-C or SIGTERM → a flag → the step is finished, a checkpoint saved, the run left; the same command continues it"""

from __future__ import annotations

import signal
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class Interruption(Callback):
    """Handlers only set a flag; it is read between steps. A second signal stops at once (nothing saved is lost)."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.received = None
        for name in self.SIGNALS:
            self._before[name] = signal.signal(name, self._note)

    def _note(self, number: int, frame: Any) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.received is not None:
            trainer.should_stop = True

    def restore(self) -> None:
        """Give the signals back to whoever had them."""
        for name, handler in self._before.items():
            signal.signal(name, handler)
        self._before.clear()
