"""x → + attention(norm) → + feed_forward(norm)"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from packtrain.model.attention import Attention
from packtrain.model.attention_backends.choose import Backend
from packtrain.model.config import ModelConfig
from packtrain.model.engine import Engine
from packtrain.model.feed_forward import FeedForward
from packtrain.model.layout import Layout
from packtrain.model.manual import ManualLayer, Plan, Weights
from packtrain.model.norm import RMSNorm
from packtrain.model.recompute import inner, runner


class TransformerBlock(nn.Module):
    """One pre-norm layer (LLaMA §2.2): the input of each sub-layer is normalised, (B, T, C) → (B, T, C).

    `plain` is the layer as one reads it. While gradients are recorded, it is run under the engine's recompute policy:
    `manual` computes the same through the backward written by hand.
    """

    def __init__(self, config: ModelConfig, engine: Engine) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.feed_forward = FeedForward(config)
        self.attention_norm = RMSNorm(config.dim, config.norm_eps)
        self.ffn_norm = RMSNorm(config.dim, config.norm_eps)
        if engine.recompute == "manual":
            self.inner = inner(engine.compiler if engine.compile else None, engine.fp8)
            self.recorded = self.by_hand
        else:
            self.recorded = runner(engine, self.plain)

    def forward(self, x: Tensor, rope: Tensor, layout: Layout, backend: Backend) -> Tensor:
        return (self.recorded if torch.is_grad_enabled() else self.plain)(x, rope, layout, backend)

    def plain(self, x: Tensor, rope: Tensor, layout: Layout, backend: Backend) -> Tensor:
        h = x + self.attention(self.attention_norm(x), rope, layout, backend)
        return h + self.feed_forward(self.ffn_norm(h))

    def by_hand(self, x: Tensor, rope: Tensor, layout: Layout, backend: Backend) -> Tensor:
        plan = Plan(self.attention.head_dim, self.attention_norm.eps, backend, layout, self.inner)
        return ManualLayer.apply(x, rope, plan, *self.weights())  # pyright: ignore[reportReturnType]

    def weights(self) -> Weights:
        a, f = self.attention, self.feed_forward
        return Weights(
            self.attention_norm.weight, a.wq.weight, a.wk.weight, a.wv.weight, a.wo.weight,
            self.ffn_norm.weight, f.w1.weight, f.w2.weight, f.w3.weight,
        )  # fmt: skip
