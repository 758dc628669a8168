"""step → learning rate, a pure function: nothing to save, nothing to restore

llama     linear warm-up, then half a cosine from the peak to `final_fraction` at the last step (LLaMA, section 2.3)
constant  linear warm-up, then the peak
wsd       linear warm-up, the peak, then linear down to `final_fraction` over the last `decay_fraction` of the run
          (warm-up–stable–decay: MiniCPM, arXiv 2404.06395, section 4)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from packtrain.errors import UserError


@dataclass(frozen=True)
class OptimConfig:
    """AdamW and its schedule; the defaults are the paper's (section 2.3)."""

    learning_rate: float
    warmup_steps: int
    schedule: Literal["llama", "constant", "wsd"] = "llama"
    final_fraction: float = 0.1
    decay_fraction: float = 0.1
    betas: tuple[float, ...] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.1
    clip: Literal["norm", "value"] | None = "norm"
    clip_at: float = 1.0

    def __post_init__(self) -> None:
        if self.learning_rate <= 0:
            raise UserError(f"optim.learning_rate={self.learning_rate:g}: give a positive number")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise UserError(f"optim.betas={list(self.betas)}: give two numbers in [0, 1), the paper's are [0.9, 0.95]")
        if self.warmup_steps < 0:
            raise UserError(f"optim.warmup_steps={self.warmup_steps}: give 0 or more steps")
        for name in ("final_fraction", "decay_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"optim.{name}={getattr(self, name):g}: give a fraction from 0 to 1")
        if self.clip and self.clip_at <= 0:
            raise UserError(
                f"optim.clip_at={self.clip_at:g}: give a positive number, or optim.clip=null for no clipping"
            )


def check_warmup(config: OptimConfig, total_steps: int) -> None:
    """Raises `UserError` where the warm-up is not shorter than the run."""
    if config.warmup_steps >= total_steps:
        raise UserError(
            f"optim.warmup_steps={config.warmup_steps} is not shorter than the run of {total_steps} steps; "
            f"try optim.warmup_steps={total_steps // 10}, or more data.tokens"
        )


def learning_rate(config: OptimConfig, step: int, total_steps: int) -> float:
    """The rate of update `step` (from 0) in a run of `total_steps`; the last has `final_fraction` of the peak."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    last = max(1, total_steps - 1 - config.warmup_steps)
    progress = min(1.0, (step - config.warmup_steps) / last)
    if config.schedule == "constant":
        scale = 1.0
    elif config.schedule == "wsd":
        decayed = (
            0.0 if config.decay_fraction == 0 else (progress - (1 - config.decay_fraction)) / config.decay_fraction
        )
        scale = 1 - (1 - config.final_fraction) * max(0.0, decayed)
    else:
        scale = config.final_fraction + (1 - config.final_fraction) * 0.5 * (1 + math.cos(math.pi * progress))
    return config.learning_rate * scale
