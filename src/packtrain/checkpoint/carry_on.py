"""init_from=runs/OTHER → its newest intact weights, checked to fit the new run"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from packtrain.checkpoint.directory import read_meta, resolve
from packtrain.checkpoint.load import read_weights
from packtrain.errors import UserError
from packtrain.model.config import SWITCHES, ModelConfig, switches

SHAPE = (
    "dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "ffn_dim", "ffn_multiple_of", "rope_theta", "norm_eps",
    *SWITCHES,
)  # fmt: skip


def first_weights(source: Path, model: ModelConfig, tokenizer: str) -> dict[str, Tensor]:
    """Whole weights of a run or checkpoint."""
    return read_weights(find_source(source, model, tokenizer))


def find_source(source: Path, model: ModelConfig, tokenizer: str) -> Path:
    """The checkpoint that `source` names. Raises `UserError` where its model or tokenizer is another one."""
    path = resolve(source)
    meta: dict[str, Any] = read_meta(path)
    for name in (*SHAPE, "max_sequence_length") if model.positions == "learned" else SHAPE:  # a row for each position
        there, here = meta["model"].get(name, switches().get(name)), getattr(model, name)
        if there != here:
            raise UserError(
                f"init_from={source}: its model.{name} is {there}, this run's is {here}: give model.{name}={there}"
            )
    if meta.get("tokenizer_fingerprint", tokenizer) != tokenizer:
        raise UserError(
            f"init_from={source}: it was trained with another tokenizer; pack the text with its tokenizer.model"
        )
    return path
