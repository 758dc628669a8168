"""device → peak FLOP/s and how it is known: rated (data sheet), measured (a matrix product on the CPU), or None"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from packtrain.estimate.hardware import lookup


@dataclass(frozen=True)
class Peak:
    """Dense FLOP/s in the precision of the run."""

    flops: float
    source: str


def find_peak(device: torch.device, dtype: torch.dtype) -> Peak | None:
    """What MFU is divided by. None (hence no MFU) for a GPU that the hardware table does not know, or a precision it
    has no figure for: a wrong MFU is worse than none."""
    if device.type == "cpu":
        return Peak(measure_matmul(dtype), f"measured: a {dtype_name(dtype)} matrix product on this CPU")
    if device.type == "cuda" and dtype is torch.bfloat16:
        gpu = lookup(torch.cuda.get_device_name(device))
        if gpu is not None:
            return Peak(gpu.peak_flops, f"rated: {gpu.name}, dense bf16")
    return None


def measure_matmul(dtype: torch.dtype, size: int = 1024, seconds: float = 0.6) -> float:
    """FLOP/s of the best of many size³ matrix products (2·size³ FLOPs each) on the CPU, all threads."""
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(size, size, generator=generator).to(dtype)
    b = torch.randn(size, size, generator=generator).to(dtype)
    best = float("inf")
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - begin)
    return 2 * size**3 / best


def dtype_name(dtype: torch.dtype) -> str:
    return {torch.float32: "fp32", torch.bfloat16: "bf16"}.get(dtype, str(dtype).removeprefix("torch."))
