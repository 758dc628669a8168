"""runs/NAME or a checkpoint → weights → Llama, ready to evaluate or to generate"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from packtrain.checkpoint.directory import read_meta
from packtrain.checkpoint.weights import WEIGHTS, open_weights
from packtrain.errors import Failure
from packtrain.model.config import ModelConfig
from packtrain.model.llama import Llama
from packtrain.settings import build


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
        model.load_state_dict(read_weights(path, device), strict=True, assign=True)
    except (RuntimeError, SafetensorError, OSError) as error:
        raise Failure(f"{path} does not hold the model it says: {reason(error)}") from error
    return model.eval(), meta


def reason(error: Exception) -> str:
    """One line: PyTorch's first says only that there are errors, its second which."""
    lines = str(error).splitlines()
    return lines[1].strip() if lines[0].startswith("Error(s) in loading") and len(lines) > 1 else lines[0]


def read_weights(path: Path, device: str | torch.device = "cpu") -> dict[str, Tensor]:
    """The whole fp32 weights under Meta's names, whichever kind of checkpoint `path` is; adapters are merged."""
    meta = read_meta(path)
    if meta["kind"] == "whole" and "lora" not in meta:
        return load_file(path / WEIGHTS, device=str(device))
    return {name: tensor.to(device) for name, tensor in open_weights(path).items()}


def model_to_meta(config: ModelConfig) -> dict[str, Any]:
    """`ModelConfig` as the plain mapping that a checkpoint carries."""
    return dataclasses.asdict(config)
