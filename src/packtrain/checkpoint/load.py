"""runs/NAME or a checkpoint → weights → Llama, ready to evaluate or to generate"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from packtrain.checkpoint.directory import read_meta
from packtrain.errors import Failure
from packtrain.model.config import ModelConfig
from packtrain.model.llama import Llama
from packtrain.settings import build

WEIGHTS = "model.safetensors"


def load_model(
    path: Path, compute_dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu"
) -> tuple[Llama, dict[str, Any]]:
    """The model of one checkpoint (see `directory.resolve`), in evaluation mode, and the checkpoint's meta data.

    Weights are fp32 as saved; `compute_dtype` is what the forward pass casts them to. Raises `Failure` where they do
    not fit the model that the checkpoint describes.
    """
    meta = read_meta(path)
    config = build(ModelConfig, meta["model"], "model")
    with torch.device("meta"):
        model = Llama(config, compute_dtype)
    try:
        model.load_state_dict(load_file(path / WEIGHTS, device=str(device)), strict=True, assign=True)
    except (RuntimeError, SafetensorError, OSError) as error:
        raise Failure(f"{path / WEIGHTS} does not hold the model it says: {str(error).splitlines()[0]}") from error
    return model.eval(), meta


def model_to_meta(config: ModelConfig) -> dict[str, Any]:
    """`ModelConfig` as the plain mapping that a checkpoint carries."""
    return dataclasses.asdict(config)
