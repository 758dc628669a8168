"""meters (throughput, carbon, losses) ─measure→ one row a logged step ─RunLog→ metrics.csv, TensorBoard

A meter watches every step cheaply and is read only when a row is due. The row is written, and flushed, before the
checkpoint of the same step is committed: a kill between the two loses neither.
"""

from __future__ import annotations

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from packtrain.training.loggers import Finishing, Rewindable


class Meter(Callback):
    """A callback that contributes columns to the row of a logged step."""

    def due(self, step: int, trainer: Trainer, module: Any) -> bool:
        """Whether this meter asks for a row at `step` (steps done, counted from 1), beside the regular interval."""
        return False

    def measure(self, step: int, trainer: Trainer, module: Any) -> dict[str, float]:
        """Columns of the row at `step`; may wait for the device."""
        return {}

    def summarise(self, module: Any) -> dict[str, Any]:
        """What stands in summary.json when the run is finished."""
        return {}


class RunLog(Callback):
    """Gathers the meters' columns every `interval_tokens` (None: a thousand times a run), at the first and the last."""

    def __init__(self, interval_tokens: float | None = None) -> None:
        self.interval_tokens = interval_tokens
        self.row: dict[str, float] = {}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        module: Any = pl_module
        step, steps = trainer.global_step, module.steps
        meters = [callback for callback in trainer.callbacks if isinstance(callback, Meter)]  # pyright: ignore
        regular = step % steps.every(self.interval_tokens, 1000) == 0 or step in (1, steps.total)
        if not regular and not any(meter.due(step, trainer, module) for meter in meters):
            return
        module.require_finite(step)
        module.clock.settle(module.device)
        begin, validated = module.clock.settled_at, module.clock.seconds["validation"]
        row: dict[str, float] = {"tokens": step * steps.batch_tokens}
        for meter in meters:
            row.update(meter.measure(step, trainer, module))
        self.row = row
        for logger in trainer.loggers:
            logger.log_metrics(row, step=step)
        scoring = module.clock.seconds["validation"] - validated
        module.clock.add("logging", time.perf_counter() - begin - scoring)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, Rewindable):
                logger.flush()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module: Any = pl_module
        for logger in trainer.loggers:
            if isinstance(logger, Finishing) and trainer.global_step == module.steps.total:
                logger.finish()
