"""a signal on any rank → all agree between two steps → a checkpoint is saved, the run left; the same command continues

Ctrl-C and SIGTERM anywhere; under a batch script also its own signal, before the time limit. SLURM's SIGTERM is a
preemption or a scancel: both are saved, and only the first finds a batch script that is still there to requeue it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from packtrain import stop
from packtrain.launch import note


class Interruption(Callback):
    """`agreed(flag)` is whether any rank's flag is set, an all-reduce; ranks hear a signal at different steps."""

    def __init__(self, agreed: Callable[[bool], bool] = bool) -> None:
        self.agreed = agreed
        self.stopped = False  # the same on all ranks
        self.received: int | None = None  # this rank's own

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Before Lightning sets its own handlers: its SIGTERM's broadcasts inside the handler, which hangs where ranks
        are at different places, and ends the run with exit code 0."""
        connector: Any = trainer._signal_connector
        connector.register_signal_handlers = lambda: None
        self.stopped, self.received = False, None
        stop.listen()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not self.stopped and self.agreed(stop.received() is not None):
            self.stopped = trainer.should_stop = True

    def restore(self) -> None:
        """Give the signals back to whoever had them."""
        self.received = stop.received()
        stop.restore()

    def leave(self, what: str) -> None:
        """Once everything is saved: ask the batch script for a requeue, then wait for all ranks to have come here.

        Without the wait, the first rank to exit would have its launcher kill the others.
        """
        if self.received not in (None, signal.SIGINT):
            note.leave("requeue", f"{signal.Signals(self.received).name}: {what}")
        self.agreed(True)
