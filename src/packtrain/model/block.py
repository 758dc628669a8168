"""x → + attention(norm) → + feed_forward(norm);  post: x → norm(x + attention) → norm(h + feed_forward)"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from packtrain.model.attention import Attention
from packtrain.model.attention_backends.choose import Backend
from packtrain.model.config import ModelConfig
from packtrain.model.engine import Engine
from packtrain.model.feed_forward import FeedForward, make_feed_forward
from packtrain.model.layout import Layout
from packtrain.model.manual import ManualLayer, Plan, Weights
from packtrain.model.norm import make_norm
from packtrain.model.recompute import inner, runner


class TransformerBlock(nn.Module):
    """One layer, (B, T, C) → (B, T, C). LLaMA §2.2 normalises the input of each sub-layer, `pre_norm`; Vaswani et al.
    (2017, §3.1) the sum behind it, `post_norm`.

    `plain`, one of the two, is the layer as one reads it. While gradients are recorded, it is run under the engine's
    recompute policy: `manual` computes the same through the backward written by hand, which LLaMA's layer has alone
    (`Engine.suited`).
    """

    def __init__(self, config: ModelConfig, engine: Engine) -> None:
        super().__init__()
        engine = engine.suited(config)
        self.attention = Attention(config)
        self.feed_forward = make_feed_forward(config)
        self.attention_norm = make_norm(config)
        self.ffn_norm = make_norm(config)
        self.plain = self.pre_norm if config.norm_placement == "pre" else self.post_norm
        if engine.recompute == "manual":
            self.inner = inner(engine.compiler if engine.compile else None, engine.fp8)
            self.recorded = self.by_hand
        else:
            self.recorded = runner(engine, self.plain)

    def forward(self, x: Tensor, rope: Tensor, layout: Layout, backend: Backend) -> Tensor:
        return (self.recorded if torch.is_grad_enabled() else self.plain)(x, rope, layout, backend)

    def pre_norm(self, x: Tensor, rope: Tensor, layout: Layout, backend: Backend) -> Tensor:
        h = x + self.attention(self.attention_norm(x), rope, layout, backend)
        return h + self.feed_forward(self.ffn_norm(h))

    def post_norm(self, x: Tensor, rope: Tensor, layout: Layout, backend: Backend) -> Tensor:
        h = self.attention_norm(x + self.attention(x, rope, layout, backend))
        return self.ffn_norm(h + self.feed_forward(h))

    def by_hand(self, x: Tensor, rope: Tensor, layout: Layout, backend: Backend) -> Tensor:
        plan = Plan(self.attention.head_dim, self.attention_norm.eps, backend, layout, self.inner)
        return ManualLayer.apply(x, rope, plan, *self.weights())  # pyright: ignore[reportReturnType]

    def weights(self) -> Weights:
        a, f = self.attention, self.feed_forward
        assert isinstance(f, FeedForward)
        return Weights(
            self.attention_norm.weight, a.wq.weight, a.wk.weight, a.wv.weight, a.wo.weight,
            self.ffn_norm.weight, f.w1.weight, f.w2.weight, f.w3.weight,
        )  # fmt: skip
