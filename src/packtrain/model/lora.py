"""Low-rank adapters: y = x Wᵀ + s (x Aᵀ) Bᵀ with W frozen, forward and backward by hand

    A (r, in) normal, B (out, r) zero, s = α / r: the first step computes what the model without them computes

    given dy     dx = dy W + s (dy B) A      dB = s dyᵀ (x Aᵀ)      dA = s (dy B)ᵀ x      dW is never made

The layer is `manual.py`'s own four functions: their matrix products go through a `LinearPair`, and here a weight is an
`Adapted`, whose pair knows A and B. Under another recompute policy autograd runs the same formula (`LoraLinear`).
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from packtrain.errors import UserError
from packtrain.model import manual, pairs
from packtrain.model.attention_backends.choose import Backend
from packtrain.model.block import TransformerBlock
from packtrain.model.initialisation import tensor_seed
from packtrain.model.layout import Layout
from packtrain.model.linear import Linear
from packtrain.model.llama import Llama
from packtrain.model.lora_config import MATRICES, LoraConfig
from packtrain.model.manual import Plan, Weights

ORDER = ("wq", "wk", "wv", "wo", "w1", "w2", "w3")  # as in `Weights`, the norms left out
A, B = "lora_a", "lora_b"


class LoraLinear(Linear):
    """`linear` with its weight frozen, and the two small matrices that are trained."""

    def __init__(self, linear: Linear, rank: int, scale: float) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features, self.scale = linear.in_features, linear.out_features, scale
        self.weight = linear.weight
        self.lora_a = nn.Parameter(linear.weight.new_zeros(rank, linear.in_features))
        self.lora_b = nn.Parameter(linear.weight.new_zeros(linear.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        low = F.linear(x, self.lora_a.to(x.dtype))  # (…, in) → (…, r)
        return super().forward(x) + self.scale * F.linear(low, self.lora_b.to(x.dtype))


def add_adapters(model: Llama, config: LoraConfig, seed: int) -> Llama:
    """Freezes the model and gives each target its adapters, A drawn by (seed, its name). In place.

    Raises `UserError` for an engine that they do not go with.
    """
    if model.engine.compile or model.engine.fp8:
        raise UserError("lora.rank goes with neither compile=true nor fp8=true: leave them out, or give lora.rank=0")
    model.requires_grad_(False)
    for number, layer in enumerate(model.layers):
        assert isinstance(layer, TransformerBlock)
        for name in config.targets:
            place, _, part = MATRICES[name].rpartition(".")
            owner = layer.get_submodule(place)
            if not hasattr(owner, part):  # a feed-forward of two matrices
                continue
            adapted = LoraLinear(getattr(owner, part), config.rank, config.scale)
            full = f"layers.{number}.{MATRICES[name]}.{A}"
            if not adapted.lora_a.is_meta:
                generator = torch.Generator(device="cpu").manual_seed(tensor_seed(seed, full))
                drawn = torch.empty(adapted.lora_a.shape).normal_(
                    0.0, 1 / math.sqrt(adapted.in_features), generator=generator
                )
                adapted.lora_a.data.copy_(drawn)
            setattr(owner, part, adapted)
        if layer.recorded == layer.by_hand:
            layer.recorded = functools.partial(by_hand, layer, config.scale)
    return model


def is_adapter(name: str) -> bool:
    """Whether a parameter's name is that of an A or a B."""
    return name.endswith((A, B))


def merged(weight: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
    """W + s·B A, computed in fp64 and rounded once to the dtype of W."""
    return torch.addmm(weight.double(), b.double(), a.double(), alpha=scale).to(weight.dtype)


class Adapted(NamedTuple):
    """A weight (out, in) as the layer's functions take it; `a` and `b` None: frozen, without adapters."""

    weight: Tensor
    a: Tensor | None
    b: Tensor | None
    scale: float

    @property
    def shape(self) -> torch.Size:
        return self.weight.shape


def forward(x: Tensor, w: Adapted) -> Tensor:
    y = pairs.linear(x, w.weight)
    if w.a is None or w.b is None:
        return y
    return y.addmm_(pairs.linear(x, w.a), w.b.to(x.dtype).t(), alpha=w.scale)


def input_gradient(dy: Tensor, w: Adapted, onto: Tensor | None = None) -> Tensor:
    dx = pairs.linear_input_gradient(dy, w.weight, onto)
    if w.a is None or w.b is None:
        return dx
    return dx.addmm_(pairs.linear_input_gradient(dy, w.b), w.a.to(dy.dtype), alpha=w.scale)


def weight_gradient(dy: Tensor, x: Tensor, w: Adapted) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of A and B; W has none."""
    if w.a is None or w.b is None:
        return None, None
    da = pairs.linear_weight_gradient(pairs.linear_input_gradient(dy, w.b), x, w.a)
    db = pairs.linear_weight_gradient(dy, pairs.linear(x, w.a), w.b)
    return da.mul_(w.scale), db.mul_(w.scale)


PAIR: Any = pairs.LinearPair(forward, input_gradient, weight_gradient)  # pyright: ignore[reportArgumentType]


def by_hand(layer: TransformerBlock, scale: float, x: Tensor, rope: Tensor, layout: Layout, backend: Backend) -> Tensor:
    """What `TransformerBlock.by_hand` is without adapters."""
    plan = Plan(layer.attention.head_dim, layer.attention_norm.eps, backend, layout, layer.inner)
    modules = [layer.get_submodule(MATRICES[name]) for name in ORDER]
    small = [getattr(module, part, None) for module in modules for part in (A, B)]
    return AdaptedLayer.apply(x, rope, plan, scale, *layer.weights(), *small)  # pyright: ignore[reportReturnType]


def adapted(parameters: Any, scale: float) -> Weights:
    """Nine weights and seven times A, B → `Weights` whose matrices are `Adapted`."""
    whole, small = Weights(*parameters[:9]), parameters[9:]
    both = {name: Adapted(getattr(whole, name), small[2 * n], small[2 * n + 1], scale) for n, name in enumerate(ORDER)}
    return whole._replace(**both)


class AdaptedLayer(torch.autograd.Function):
    """`manual.ManualLayer` with adapters: the same is saved, and only A, B and x have gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rope: Tensor, plan: Plan, scale: float, *parameters: Tensor | None) -> Tensor:
        w = adapted(parameters, scale)
        q, k, v = manual.enter(x, w.attention_norm, w.wq, w.wk, w.wv, rope, plan.head_dim, plan.eps, PAIR)
        out, lse = plan.backend.forward(q, k, v, plan.layout)
        y, h, gate, up = manual.leave(x, out, w.wo, w.ffn_norm, w.w1, w.w2, w.w3, plan.eps, PAIR)
        ctx.save_for_backward(x, q, k, v, out, lse, h, gate, up, rope, *parameters)
        ctx.plan, ctx.scale = plan, scale
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, q, k, v, out, lse, h, gate, up, rope, *parameters = ctx.saved_tensors
        w, plan = adapted(parameters, ctx.scale), ctx.plan
        dh, dout, wo, _, w1, w2, w3 = manual.leave_backward(
            dy, out, h, gate, up, w.wo, w.ffn_norm, w.w1, w.w2, w.w3, plan.eps, PAIR
        )
        dq, dk, dv = plan.backend.backward(dout, q, k, v, out, lse, plan.layout)
        dx, _, wq, wk, wv = manual.enter_backward(
            dq, dk, dv, dh, x, w.attention_norm, w.wq, w.wk, w.wv, rope, plan.eps, PAIR
        )
        small: Any = (wq, wk, wv, wo, w1, w2, w3)
        return dx, None, None, None, *(None,) * 9, *(gradient for pair in small for gradient in pair)
