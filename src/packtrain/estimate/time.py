"""peak FLOP/s × utilisation → tokens/s per GPU → days, GPU-hours"""

from __future__ import annotations

from dataclasses import dataclass

SECONDS_PER_HOUR, SECONDS_PER_DAY = 3600.0, 86400.0

# LLaMA-65B: about 380 tokens/s on each A100-80GB (arXiv 2302.13971, §2.4), which is this by 6N+attention.
PAPER_MFU = 0.495


@dataclass(frozen=True)
class Duration:
    """How long a run takes. `gpu_hours` counts every GPU."""

    days: float
    gpu_hours: float


def tokens_per_second(peak_flops: float, utilisation: float, flops_per_token: float) -> float:
    """Tokens a second on one GPU of `peak_flops` FLOP/s that does `utilisation` (0–1) of them."""
    return peak_flops * utilisation / flops_per_token


def duration(tokens: float, tokens_per_second_per_gpu: float, gpus: int) -> Duration:
    """The wall time of `tokens` on `gpus`, at constant speed."""
    seconds = tokens / (tokens_per_second_per_gpu * gpus)
    return Duration(seconds / SECONDS_PER_DAY, seconds / SECONDS_PER_HOUR * gpus)
