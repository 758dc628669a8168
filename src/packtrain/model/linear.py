"""fp32 parameter → cast to the dtype of the computation → matmul

The cast is explicit, never autocast: a backward written by hand must see the dtypes that the forward used. Weights are
left uninitialised: `initialisation.initialise` or a checkpoint fills them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Linear(nn.Module):
    """y = x Wᵀ, without bias: (…, in) → (…, out), in the dtype of x. `weight` is fp32, of shape (out, in)."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = nn.Parameter(torch.empty(out_features, in_features, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype))

    def extra_repr(self) -> str:
        return f"{self.in_features} → {self.out_features}"


class TiedLinear(nn.Module):
    """y = x Wᵀ with the table of an embedding, which keeps it: no parameter of its own, (…, C) → (…, V)."""

    def __init__(self, embedding: Embedding) -> None:
        super().__init__()
        self._embedding = [embedding]  # in a list: not a part of this module, and whatever weight it has by then

    @property
    def weight(self) -> nn.Parameter:
        return self._embedding[0].weight

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype))


class Embedding(nn.Module):
    """Rows of a fp32 table, cast to `compute_dtype` after the look-up: (B, T) → (B, T, C)."""

    def __init__(self, rows: int, dim: int, compute_dtype: torch.dtype) -> None:
        super().__init__()
        self.compute_dtype = compute_dtype
        self.weight = nn.Parameter(torch.empty(rows, dim, dtype=torch.float32))

    def forward(self, tokens: Tensor) -> Tensor:
        return F.embedding(tokens, self.weight).to(self.compute_dtype)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]} × {self.weight.shape[1]}, computes in {self.compute_dtype}"
