"""conf/finetune.yaml's data: → InstructionConfig: which instructions, how they are cut, packed and batched"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from packtrain.errors import UserError


@dataclass(frozen=True)
class InstructionConfig:
    """path: a .jsonl, .json or .parquet file (.gz too), or the name of a set on the hub, whose `split` is read.

    format: auto looks at the first row's fields.  sequence_length: tokens of a packed row; None: the length that the
    model was trained with.  epochs: passes over the rows.  batch_tokens: of an optimiser step, padding included.
    held_out: share of the examples that is kept for choosing the checkpoint, 0 for none.
    too_long: an example longer than a row loses its end, or is left out.  bad_rows: refused, or left out; both counted.
    pack: several examples in a row, each hidden from the others; false: one in each.
    """

    path: str
    format: Literal["auto", "alpaca", "self_instruct", "prompt", "chat"] = "auto"
    split: str = "train"
    sequence_length: int | None = None
    epochs: float = 3.0
    batch_tokens: int | None = None
    micro_batch: int | None = None
    workers: int = 0
    held_out: float = 0.05
    too_long: Literal["cut", "drop"] = "cut"
    bad_rows: Literal["refuse", "drop"] = "refuse"
    pack: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.epochs < float("inf"):
            raise UserError(f"data.epochs={self.epochs:g}: expected more than 0")
        if not 0 <= self.held_out < 1:
            raise UserError(f"data.held_out={self.held_out:g}: expected a share from 0 up to, but without, 1")
        for name, least in (("sequence_length", 8), ("batch_tokens", 1), ("micro_batch", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"data.{name}={value}: expected at least {least}, or null")
