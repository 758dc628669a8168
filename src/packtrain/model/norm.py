"""x → fp32 → normalised · weight → dtype of x"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from packtrain.model.config import ModelConfig

Normalise = Callable[..., Tensor]  # (x, weight, eps)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """y = x / √(mean(x²) + ε) · weight over the last dimension, computed in fp32: (…, C), (C,) → (…, C)."""
    return F.rms_norm(x.float(), weight.shape, weight.float(), eps).to(x.dtype)


def layer_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """y = (x − mean(x)) / √(var(x) + ε) · weight over the last dimension, in fp32: (…, C), (C,) → (…, C).

    Ba et al., 2016 (arXiv 1607.06450), without its bias: nothing in the model has one, and so the two norms have as
    many parameters.
    """
    return F.layer_norm(x.float(), weight.shape, weight.float(), None, eps).to(x.dtype)


def as_is(x: Tensor, weight: Tensor) -> Tensor:
    """x: what stands on the side of a sub-layer where there is no norm."""
    return x


NORMS: dict[str, Normalise] = {"rms": rms_norm, "layer": layer_norm}


class RMSNorm(nn.Module):
    """`rms_norm` with its weight: (…, C) → (…, C).

    Zhang and Sennrich, 2019 (arXiv 1910.07467); LLaMA §2.2 normalises the input of every sub-layer with it.
    """

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.weight.numel()}, eps={self.eps}"


class LayerNorm(RMSNorm):
    """`layer_norm` with its weight."""

    def forward(self, x: Tensor) -> Tensor:
        return layer_norm(x, self.weight, self.eps)


def make_norm(config: ModelConfig) -> RMSNorm:
    """The norm that `model.norm` names."""
    return (LayerNorm if config.norm == "layer" else RMSNorm)(config.dim, config.norm_eps)
