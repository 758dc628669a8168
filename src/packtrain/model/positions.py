"""model.positions → what is added to the embeddings, and how far queries and keys are turned

    rotary       nothing is added; q and k are turned by t·θ^(−2j/D) (`rope.py`)
    learned      row t of a table is added
    sinusoidal   sines and cosines of t are added (Vaswani et al., 2017, arXiv 1706.03762, §3.5)
    none         neither: the causal mask alone tells an order (Haviv et al., 2022, arXiv 2203.16634)

All but rotary turn by an angle of zero, which leaves every bit of q and k as it is: attention, the backward written by
hand and the decoder are the same code for all four.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from packtrain.errors import UserError
from packtrain.model.config import ModelConfig
from packtrain.model.rope import rope_table

SCALE = 0.02 * math.sqrt(2)  # a sine's root mean square is √½: so positions begin as large as embeddings (N(0, 0.02²))


class Unplaced(nn.Module):
    """h as it is."""

    def forward(self, h: Tensor, positions: Tensor) -> Tensor:
        return h


class LearnedPositions(nn.Module):
    """h + weight[position]: (B, T, C), (T,) or (B, T) → (B, T, C). `weight` is fp32, (max_sequence_length, C)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.max_sequence_length, config.dim, dtype=torch.float32))

    def forward(self, h: Tensor, positions: Tensor) -> Tensor:
        return h + nn.functional.embedding(positions, self.weight).to(h.dtype)


class SinusoidalPositions(nn.Module):
    """h + SCALE · sinusoids: (B, T, C), (T,) or (B, T) → (B, T, C).

    The paper multiplies embeddings by √C instead; with ours, which begin at 0.02, it would drown them.
    """

    def forward(self, h: Tensor, positions: Tensor) -> Tensor:
        return h + (SCALE * sinusoids(positions, h.shape[-1])).to(h.dtype)


def sinusoids(positions: Tensor, dim: int) -> Tensor:
    """sin(t / 10000^(2i/C)) at 2i and the cosine at 2i + 1: (…,) → fp32 (…, C)."""
    exponents = torch.arange(0, dim, 2, device=positions.device, dtype=torch.float32) / dim
    angles = positions.float()[..., None] * 10000.0**-exponents  # (…, C/2)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)


def make_positions(config: ModelConfig) -> nn.Module:
    """(h, positions) → h with what `model.positions` adds."""
    if config.positions == "learned":
        return LearnedPositions(config)
    return SinusoidalPositions() if config.positions == "sinusoidal" else Unplaced()


def turning(config: ModelConfig) -> Callable[[Tensor], Tensor]:
    """positions (…,) → the table of (cos, sin) that q and k are turned by, (…, D/2, 2)."""
    table = functools.partial(rope_table, head_dim=config.head_dim, theta=config.rope_theta)
    return table if config.positions == "rotary" else lambda positions: table(torch.zeros_like(positions))


def check_length(config: ModelConfig, length: int) -> None:
    """Raises `UserError` where a text of `length` tokens goes on where the learned positions end."""
    if config.positions == "learned" and length > config.max_sequence_length:
        raise UserError(
            f"a text of {length} tokens: this model has learned the positions of {config.max_sequence_length} "
            f"alone (model.positions=learned); give context={config.max_sequence_length} or a shorter text"
        )
