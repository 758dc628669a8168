"""batches trained on → tokens, epochs and bytes of each domain, wanted and real: metrics, TensorBoard, ledger.json"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from packtrain.callbacks.meter import Meter
from packtrain.data.ledger import LEDGER, Ledger, reckon


class MixtureLedger(Meter):
    """`data/epochs/<domain>` in every row; the whole ledger in `run_dir` with each checkpoint, and printed at the end.

    Realised is counted from the batches that were trained on, not computed from the weights, and goes on over resumes.
    """

    def __init__(self, run_dir: str) -> None:
        self.run_dir = Path(run_dir)
        self._latest: Ledger | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._publish(trainer, self._ledger(trainer, pl_module))

    def measure(self, step: int, trainer: Trainer, module: Any) -> dict[str, float]:
        ledger = self._ledger(trainer, module)
        return {f"data/epochs/{e.domain}": e.epochs(e.realised_tokens) or 0.0 for e in ledger.entries}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        ledger = self._ledger(trainer, pl_module)
        if trainer.is_global_zero:
            ledger.write(self.run_dir / LEDGER)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module: Any = pl_module
        ledger = self._ledger(trainer, pl_module)
        self._publish(trainer, ledger)
        if trainer.is_global_zero and trainer.global_step == module.steps.total and not module.quiet:
            for line in ledger.lines():
                print(f"  {line}", flush=True)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._latest is None:  # nothing was left to train, but the run had no summary yet
            self._ledger(trainer, pl_module)

    def summarise(self, module: Any) -> dict[str, Any]:
        entries = self._latest.entries if self._latest else ()
        return {"mixture": {entry.domain: entry.values() for entry in entries}}

    def _ledger(self, trainer: Trainer, module: Any) -> Ledger:
        data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        length = module.steps.sequence_length
        drawn = {domain: n * length for domain, n in data.sequences_drawn().items()}
        found = reckon(data.manifest, data.shares(), module.steps.total_tokens, drawn)
        self._latest = replace(found, changes=tuple(boundary.record() for boundary in data.boundaries))
        return self._latest

    def _publish(self, trainer: Trainer, ledger: Ledger) -> None:
        if not trainer.is_global_zero:
            return
        ledger.write(self.run_dir / LEDGER)
        for logger in trainer.loggers:
            add_text = getattr(getattr(logger, "experiment", None), "add_text", None)  # TensorBoard's
            if add_text is not None:
                add_text("ledger", ledger.markdown(), trainer.global_step)
