"""tokens, tokens/s per GPU, GPUs → days and GPU-hours"""

from __future__ import annotations

from dataclasses import dataclass

SECONDS_PER_HOUR, SECONDS_PER_DAY = 3600.0, 86400.0


@dataclass(frozen=True)
class Duration:
    """How long a run takes. `gpu_hours` counts every GPU."""

    days: float
    gpu_hours: float


def duration(tokens: float, tokens_per_second_per_gpu: float, gpus: int) -> Duration:
    """The wall time of `tokens` on `gpus`, at constant speed."""
    seconds = tokens / (tokens_per_second_per_gpu * gpus)
    return Duration(seconds / SECONDS_PER_DAY, seconds / SECONDS_PER_HOUR * gpus)
