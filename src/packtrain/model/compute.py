"""`device=auto`, `precision=bf16` → torch.device, torch.dtype"""

from __future__ import annotations

from typing import Literal

import torch

from packtrain.errors import UserError

Precision = Literal["fp32", "bf16"]
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


def pick_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU. A device that is not there is a `UserError`."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"device={name}: unknown; known: auto, cpu, cuda, cuda:1, …") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"device={name}: this machine shows {torch.cuda.device_count()} CUDA devices; give device=cpu")
    return device
