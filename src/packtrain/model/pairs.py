"""linear, rms_norm, swiglu: y = f(x) and, given dy, the gradients of x and of the weights

What the backward of a layer is put together from (`docs/backward.md` derives each; rotary's pair is `rope.turn`, the
attention's are the backends). Tensors are (N, C): N = B·T tokens. Weights are fp32 whatever the activations are; their
gradients are returned in the dtype of the weight. Norms compute in fp32, or fp64 where the input is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


def linear(x: Tensor, w: Tensor) -> Tensor:
    """y = x wᵀ: (N, in), (out, in) → (N, out), in the dtype of x."""
    return x.mm(w.to(x.dtype).t())


def linear_input_gradient(dy: Tensor, w: Tensor, onto: Tensor | None = None) -> Tensor:
    """dx = dy w: (N, out), (out, in) → (N, in). Adds to `onto` in place where one is given."""
    w = w.to(dy.dtype)
    return dy.mm(w) if onto is None else onto.addmm_(dy, w)


def linear_weight_gradient(dy: Tensor, x: Tensor, w: Tensor) -> Tensor:
    """dw = dyᵀ x: (N, out), (N, in) → (out, in) in the dtype of w; half precision is summed and kept in fp32."""
    if dy.is_cuda and dy.dtype != w.dtype:
        return torch.mm(dy.t(), x, out_dtype=w.dtype)
    return dy.t().mm(x).to(w.dtype)


class LinearPair(NamedTuple):
    """The three products of a linear layer: y from x, dx from dy, dw from dy and x."""

    forward: Callable[[Tensor, Tensor], Tensor]
    input_gradient: Callable[..., Tensor]
    weight_gradient: Callable[[Tensor, Tensor, Tensor], Tensor]


PLAIN = LinearPair(linear, linear_input_gradient, linear_weight_gradient)


def rms_norm(x: Tensor, w: Tensor, eps: float) -> Tensor:
    """y = x·r ⊙ w with r = 1/√(mean(x²) + ε) per token: (N, C), (C,) → (N, C)."""
    return (normalised(x, eps)[0] * w).to(x.dtype)


def rms_norm_backward(dy: Tensor, x: Tensor, w: Tensor, eps: float, past: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """dx = r (w ⊙ dy − x̂ · mean(w ⊙ dy ⊙ x̂)) + past, dw = Σ dy ⊙ x̂ with x̂ = x·r, and y once more.

    `past` (N, C) is the gradient that reaches x along the residual stream, past the norm. Returns (dx, dw, y).
    """
    x_hat, r = normalised(x, eps)
    dy = dy.to(x_hat.dtype)
    product = dy * x_hat
    mean = (product.mv(w.to(dy.dtype)) / x.shape[-1])[:, None]  # (N, 1)
    dx = (dy * w).addcmul_(x_hat, mean, value=-1).mul_(r).add_(past)
    return dx.to(x.dtype), product.sum(0).to(w.dtype), x_hat.mul_(w).to(x.dtype)


def normalised(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """x̂ = x·r and r (N, 1), in fp32 at least."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    r = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square().div(x.shape[-1]).add(eps).rsqrt()
    return wide * r, r


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) ⊙ up, silu(g) = g·σ(g): (N, F), (N, F) → (N, F)."""
    return F.silu(gate).mul_(up)


def swiglu_backward(dy: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """dgate = dy ⊙ up ⊙ σ(gate)(1 + gate(1 − σ(gate)));  dup = dy ⊙ silu(gate)."""
    dgate = torch.ops.aten.silu_backward(dy * up, gate)
    return dgate, F.silu(gate).mul_(dy)
