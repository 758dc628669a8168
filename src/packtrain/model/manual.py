"""One transformer layer, forward and backward by hand

    x ─ rms_norm ─ wq, wk, wv ─ rope ─ q, k, v        enter
    q, k, v ─ attention ─ out                         a backend
    out ─ wo ─ + x = h ─ rms_norm ─ w1, w3 = gate, up ─ swiglu ─ w2 ─ + h = y        leave

Saved for the backward: x, q, k, v, out, h, gate, up and the attention's log-sum-exp: 4 C + 2 Ckv + 2 F numbers a token
beside the fp32 lse (LLaMA §2.4: keep what is expensive to compute, the outputs of linear layers). Recomputed: norms and
SwiGLU; q and k are kept rotated, and their gradients turned back. Derived in docs/backward.md, in the same names.

`compile=true` compiles the four functions around the attention, never the whole: a compiler that sees forward and
backward together decides anew what to save.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from packtrain.model import pairs
from packtrain.model.attention_backends.choose import Backend
from packtrain.model.layout import Layout
from packtrain.model.pairs import PLAIN, LinearPair
from packtrain.model.rope import turn


class Weights(NamedTuple):
    """A layer's parameters, fp32, in the order in which the Function takes them."""

    attention_norm: Tensor
    wq: Tensor
    wk: Tensor
    wv: Tensor
    wo: Tensor
    ffn_norm: Tensor
    w1: Tensor
    w2: Tensor
    w3: Tensor


def enter(
    x: Tensor,
    norm: Tensor,
    wq: Tensor,
    wk: Tensor,
    wv: Tensor,
    rope: Tensor,
    D: int,
    eps: float,
    pair: LinearPair = PLAIN,
) -> tuple[Tensor, Tensor, Tensor]:
    """x (B, T, C) → rotated q (B, T, H, D), rotated k and v (B, T, Hkv, D)."""
    B, T, C = x.shape
    n = pairs.rms_norm(x.view(-1, C), norm, eps)  # (N, C), N = B·T
    q, k, v = (pair.forward(n, w).view(B, T, -1, D) for w in (wq, wk, wv))
    return turn(q, rope, backwards=False), turn(k, rope, backwards=False), v


def enter_backward(
    dq: Tensor, dk: Tensor, dv: Tensor, dh: Tensor, x: Tensor, norm: Tensor, wq: Tensor, wk: Tensor, wv: Tensor,
    rope: Tensor, eps: float, pair: LinearPair = PLAIN,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Gradients of x (B, T, C), attention_norm, wq, wk, wv. `dh` (N, C) reaches x along the residual stream."""
    C = x.shape[-1]
    dq = turn(dq, rope, backwards=True).reshape(-1, wq.shape[0])  # (B, T, H, D) → (N, H·D)
    dk = turn(dk, rope, backwards=True).reshape(-1, wk.shape[0])
    dv = dv.reshape(-1, wv.shape[0])
    dn = pair.input_gradient(dq, wq)
    dn = pair.input_gradient(dk, wk, onto=dn)
    dn = pair.input_gradient(dv, wv, onto=dn)
    dx, dnorm, n = pairs.rms_norm_backward(dn, x.view(-1, C), norm, eps, past=dh)
    dw = (pair.weight_gradient(d, n, w) for d, w in ((dq, wq), (dk, wk), (dv, wv)))
    return (dx.view(x.shape), dnorm, *dw)


def leave(
    x: Tensor,
    out: Tensor,
    wo: Tensor,
    norm: Tensor,
    w1: Tensor,
    w2: Tensor,
    w3: Tensor,
    eps: float,
    pair: LinearPair = PLAIN,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x (B, T, C) and the attention's out (B, T, H, D) → y (B, T, C), h (N, C), gate and up (N, F)."""
    C = x.shape[-1]
    h = pair.forward(out.reshape(-1, wo.shape[1]), wo).add_(x.view(-1, C))
    n = pairs.rms_norm(h, norm, eps)
    gate, up = pair.forward(n, w1), pair.forward(n, w3)
    y = pair.forward(pairs.swiglu(gate, up), w2).add_(h)
    return y.view(x.shape), h, gate, up


def leave_backward(
    dy: Tensor, out: Tensor, h: Tensor, gate: Tensor, up: Tensor, wo: Tensor, norm: Tensor, w1: Tensor, w2: Tensor,
    w3: Tensor, eps: float, pair: LinearPair = PLAIN,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Gradients of h (N, C), out (B, T, H, D), wo, ffn_norm, w1, w2, w3."""
    dy = dy.reshape(h.shape)
    dw2 = pair.weight_gradient(dy, pairs.swiglu(gate, up), w2)
    dgate, dup = pairs.swiglu_backward(pair.input_gradient(dy, w2), gate, up)
    dn = pair.input_gradient(dgate, w1)
    dn = pair.input_gradient(dup, w3, onto=dn)
    dh, dnorm, n = pairs.rms_norm_backward(dn, h, norm, eps, past=dy)
    dw1, dw3 = pair.weight_gradient(dgate, n, w1), pair.weight_gradient(dup, n, w3)
    dwo = pair.weight_gradient(dh, out.reshape(-1, wo.shape[1]), wo)
    dout = pair.input_gradient(dh, wo).view(out.shape)
    return dh, dout, dwo, dnorm, dw1, dw2, dw3


@dataclass(frozen=True)
class Inner:
    """The four functions around the attention, as they stand or compiled."""

    enter: Callable[..., Any] = enter
    enter_backward: Callable[..., Any] = enter_backward
    leave: Callable[..., Any] = leave
    leave_backward: Callable[..., Any] = leave_backward


@dataclass(frozen=True)
class Plan:
    """What a layer's Function is told beside tensors."""

    head_dim: int
    eps: float
    backend: Backend
    layout: Layout
    inner: Inner


class ManualLayer(torch.autograd.Function):
    """y = layer(x): (B, T, C) → (B, T, C). The gradient is not differentiable itself."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rope: Tensor, plan: Plan, *parameters: Tensor) -> Tensor:
        w, inner = Weights(*parameters), plan.inner
        q, k, v = inner.enter(x, w.attention_norm, w.wq, w.wk, w.wv, rope, plan.head_dim, plan.eps)
        out, lse = plan.backend.forward(q, k, v, plan.layout)
        y, h, gate, up = inner.leave(x, out, w.wo, w.ffn_norm, w.w1, w.w2, w.w3, plan.eps)
        ctx.save_for_backward(x, q, k, v, out, lse, h, gate, up, rope, *parameters)
        ctx.plan = plan
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, q, k, v, out, lse, h, gate, up, rope, *parameters = ctx.saved_tensors
        w, plan, inner = Weights(*parameters), ctx.plan, ctx.plan.inner
        dh, dout, dwo, dffn_norm, dw1, dw2, dw3 = inner.leave_backward(
            dy, out, h, gate, up, w.wo, w.ffn_norm, w.w1, w.w2, w.w3, plan.eps
        )
        dq, dk, dv = plan.backend.backward(dout, q, k, v, out, lse, plan.layout)
        dx, dattention_norm, dwq, dwk, dwv = inner.enter_backward(
            dq, dk, dv, dh, x, w.attention_norm, w.wq, w.wk, w.wv, rope, plan.eps
        )
        return dx, None, None, *Weights(dattention_norm, dwq, dwk, dwv, dwo, dffn_norm, dw1, dw2, dw3)
