"""x → q, k, v → rope on q and k → causal attention → wo"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from packtrain.model.attention_backends.choose import Backend
from packtrain.model.config import ModelConfig
from packtrain.model.layout import Layout
from packtrain.model.linear import Linear
from packtrain.model.rope import apply_rope


class Attention(nn.Module):
    """softmax(q kᵀ / √D + mask) v per head, then wo: (B, T, C) → (B, T, C).

    With fewer key and value heads than query heads, each serves a group of neighbouring query heads (Ainslie et al.,
    2023, arXiv 2305.13245).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_heads, self.kv_heads, self.head_dim = config.n_heads, config.kv_heads, config.head_dim
        self.wq = Linear(config.dim, config.n_heads * config.head_dim)
        self.wk = Linear(config.dim, config.kv_heads * config.head_dim)
        self.wv = Linear(config.dim, config.kv_heads * config.head_dim)
        self.wo = Linear(config.n_heads * config.head_dim, config.dim)

    def forward(self, x: Tensor, rope: Tensor, layout: Layout, backend: Backend) -> Tensor:
        B, T, _ = x.shape
        q = self.wq(x).view(B, T, self.n_heads, self.head_dim)  # (B, T, C) → (B, T, H, D)
        k = self.wk(x).view(B, T, self.kv_heads, self.head_dim)  # (B, T, C) → (B, T, Hkv, D)
        v = self.wv(x).view(B, T, self.kv_heads, self.head_dim)
        heads = attend(apply_rope(q, rope), apply_rope(k, rope), v, layout, backend)  # pyright: ignore[reportCallIssue]
        return self.wo(heads.reshape(B, T, -1))  # (B, T, H, D) → (B, T, C)


@torch.compiler.disable  # a kernel is compiled already, and its layout holds Python numbers that change with the batch
def attend(q: Tensor, k: Tensor, v: Tensor, layout: Layout, backend: Backend) -> Tensor:
    """The backend under autograd: (B, T, H, D), (B, T, Hkv, D) → (B, T, H, D)."""
    if not torch.is_grad_enabled():
        return backend.forward(q, k, v, layout)[0]
    return Attend.apply(q, k, v, layout, backend)  # pyright: ignore[reportReturnType]


class Attend(torch.autograd.Function):
    """Saves q, k, v, out and the log-sum-exp, and lets the backend do both directions."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, layout: Layout, backend: Backend) -> Tensor:
        out, lse = backend.forward(q, k, v, layout)
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.layout, ctx.backend = layout, backend
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        return *ctx.backend.backward(dout, *ctx.saved_tensors, ctx.layout), None, None
