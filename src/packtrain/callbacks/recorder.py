"""each step → a line of what it read, drew and found, exactly; read back by `packtrain verify`"""

from __future__ import annotations

import hashlib
import json
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


@dataclass(frozen=True)
class Record:
    """One step of one rank. Numbers are written as hexadecimal floats, arrays as digests: equal means bitwise equal."""

    step: int
    samples: str  # the first and last global sample number of this rank
    tokens: str  # digest of the batch
    loss: str
    grad_norm: str
    rng: str  # digest of torch's CPU generator


class Recorder(Callback):
    """Appends to record-RANK.jsonl in `folder`; kills its own process after step `kill`."""

    def __init__(self, folder: str, kill: int | None = None) -> None:
        self.folder, self.kill = Path(folder), kill

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        module: Any = pl_module
        step, data = trainer.global_step, trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        per_rank = module.steps.sequences // module.steps.world
        first = (step - 1) * module.steps.sequences + data.rank * per_rank
        record = Record(
            step,
            f"{first}–{first + per_rank - 1}",
            _digest(batch),
            float(module.last.loss).hex(),
            float(module.last.grad_norm).hex(),
            _digest(torch.get_rng_state()),
        )
        with (self.folder / f"record-{trainer.global_rank}.jsonl").open("a") as stream:
            stream.write(json.dumps(asdict(record)) + "\n")
        if step == self.kill:
            strategy: Any = trainer.strategy
            if hasattr(strategy, "wait"):
                strategy.wait()  # the save before is to be there: what is tried is the resume
            os.kill(os.getpid(), signal.SIGKILL)


def read_records(folder: Path, rank: int) -> list[Record]:
    """In the order in which they were written; a resume may have written a step again."""
    lines = (folder / f"record-{rank}.jsonl").read_text().splitlines()
    return [Record(**json.loads(line)) for line in lines]


def _digest(tensor: torch.Tensor) -> str:
    return hashlib.blake2b(tensor.detach().cpu().contiguous().numpy().tobytes(), digest_size=8).hexdigest()
