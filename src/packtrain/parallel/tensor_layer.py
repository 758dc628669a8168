"""One layer on t ranks: each has H/t heads, F/t of the feed-forward, and T/t tokens of what lies between

    x ─ norm ─ gather ─ wq, wk, wv ─ rope ─ attention ─ wo ─ scatter ─ + x = h
    h ─ norm ─ gather ─ w1, w3 ─ swiglu ─ w2 ─ scatter ─ + h = y

wq, wk, wv, w1, w3 are cut by rows, wo and w2 by columns (arXiv 1909.08053, §3); norms and the residual stream by tokens
(arXiv 2205.05198, §4.2.2). The gradient of `gather` is `scatter` and the other way round, so a layer sends four times
the whole activation forward, and six times backward: two of these gather again what the forward did not keep.

Two forms of the same: `autograd_layer`, which the policies none, full and selective run, and `TensorLayer`, whose
backward is written by hand as in `model/manual.py` and which saves the same, here and on average 1/t of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from packtrain.model import pairs
from packtrain.model.attention import attend
from packtrain.model.attention_backends.choose import Backend
from packtrain.model.layout import Layout
from packtrain.model.manual import Weights
from packtrain.model.rope import apply_rope, turn
from packtrain.parallel.collectives import gather, gathered, scatter, scattered, shared, total


def autograd_layer(
    x: Tensor, rope: Tensor, layout: Layout, backend: Backend, group: Any, D: int, eps: float, *parameters: Tensor
) -> Tensor:
    """x (B, T/t, C) → (B, T/t, C), every parameter this rank's part."""
    w = Weights(*parameters)
    n = gathered(_norm(x, shared(w.attention_norm, group), eps), group)  # (B, T, C)
    q, k, v = (F.linear(n, m.to(n.dtype)).unflatten(-1, (-1, D)) for m in (w.wq, w.wk, w.wv))  # (B, T, H/t, D)
    out = attend(apply_rope(q, rope), apply_rope(k, rope), v, layout, backend).flatten(2)  # pyright: ignore
    h = x + scattered(F.linear(out, w.wo.to(out.dtype)), group)
    n = gathered(_norm(h, shared(w.ffn_norm, group), eps), group)
    hidden = F.silu(F.linear(n, w.w1.to(n.dtype))) * F.linear(n, w.w3.to(n.dtype))  # (B, T, F/t)
    return h + scattered(F.linear(hidden, w.w2.to(n.dtype)), group)


def _norm(x: Tensor, w: Tensor, eps: float) -> Tensor:
    return F.rms_norm(x.float(), w.shape, w.float(), eps).to(x.dtype)


def heads(n: Tensor, wq: Tensor, wk: Tensor, wv: Tensor, rope: Tensor, D: int) -> tuple[Tensor, Tensor, Tensor]:
    """The whole sequence's normalised input (B, T, C) → this rank's rotated q, rotated k, and v, (B, T, H/t, D)."""
    B, T, C = n.shape
    q, k, v = (pairs.linear(n.view(-1, C), w).view(B, T, -1, D) for w in (wq, wk, wv))
    return turn(q, rope, backwards=False), turn(k, rope, backwards=False), v


def heads_backward(
    dq: Tensor, dk: Tensor, dv: Tensor, n: Tensor, wq: Tensor, wk: Tensor, wv: Tensor, rope: Tensor
) -> tuple[Tensor, ...]:
    """This rank's share of the gradient of n (B, T, C), and the gradients of wq, wk, wv."""
    rows = n.view(-1, n.shape[-1])
    dq = turn(dq, rope, backwards=True).reshape(-1, wq.shape[0])
    dk = turn(dk, rope, backwards=True).reshape(-1, wk.shape[0])
    dv = dv.reshape(-1, wv.shape[0])
    dn = pairs.linear_input_gradient(dq, wq)
    dn = pairs.linear_input_gradient(dk, wk, onto=dn)
    dn = pairs.linear_input_gradient(dv, wv, onto=dn)
    return dn.view(n.shape), *(pairs.linear_weight_gradient(d, rows, w) for d, w in ((dq, wq), (dk, wk), (dv, wv)))


def feed(n: Tensor, w1: Tensor, w2: Tensor, w3: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """n (B, T, C) → this rank's summand of w2's output (B, T, C), gate and up (N, F/t)."""
    rows = n.view(-1, n.shape[-1])
    gate, up = pairs.linear(rows, w1), pairs.linear(rows, w3)
    return pairs.linear(pairs.swiglu(gate, up), w2).view(n.shape), gate, up


def feed_backward(
    dy: Tensor, n: Tensor, gate: Tensor, up: Tensor, w1: Tensor, w2: Tensor, w3: Tensor
) -> tuple[Tensor, ...]:
    """This rank's share of the gradient of n (B, T, C), and the gradients of w1, w2, w3."""
    rows, dy = n.view(-1, n.shape[-1]), dy.view(-1, dy.shape[-1])
    dw2 = pairs.linear_weight_gradient(dy, pairs.swiglu(gate, up), w2)
    dgate, dup = pairs.swiglu_backward(pairs.linear_input_gradient(dy, w2), gate, up)
    dn = pairs.linear_input_gradient(dgate, w1)
    dn = pairs.linear_input_gradient(dup, w3, onto=dn)
    dw1, dw3 = pairs.linear_weight_gradient(dgate, rows, w1), pairs.linear_weight_gradient(dup, rows, w3)
    return dn.view(n.shape), dw1, dw2, dw3


@dataclass(frozen=True)
class Inner:
    """The four functions between collectives, as they stand or compiled."""

    heads: Callable[..., Any] = heads
    heads_backward: Callable[..., Any] = heads_backward
    feed: Callable[..., Any] = feed
    feed_backward: Callable[..., Any] = feed_backward


@functools.cache
def inner(compiler: str | None) -> Inner:
    """Compiled by `compiler` where one is named; shared by all layers."""
    if compiler is None:
        return Inner()
    return Inner(*(torch.compile(f, backend=compiler) for f in (heads, heads_backward, feed, feed_backward)))


@dataclass(frozen=True)
class TensorPlan:
    """What a layer's Function is told beside tensors."""

    group: Any
    head_dim: int
    eps: float
    backend: Backend
    layout: Layout
    inner: Inner


class TensorLayer(torch.autograd.Function):
    """y = layer(x) on this rank's tokens: (B, T/t, C) → (B, T/t, C). The gradient is not differentiable itself."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rope: Tensor, plan: TensorPlan, *parameters: Tensor) -> Tensor:
        w, inner, group = Weights(*parameters), plan.inner, plan.group
        C = x.shape[-1]
        n = gather(pairs.rms_norm(x.reshape(-1, C), w.attention_norm, plan.eps).view(x.shape), group)
        q, k, v = inner.heads(n, w.wq, w.wk, w.wv, rope, plan.head_dim)
        out, lse = plan.backend.forward(q, k, v, plan.layout)
        h = scatter(pairs.linear(out.reshape(-1, w.wo.shape[1]), w.wo).view(n.shape), group).add_(x)
        n = gather(pairs.rms_norm(h.view(-1, C), w.ffn_norm, plan.eps).view(h.shape), group)
        y, gate, up = inner.feed(n, w.w1, w.w2, w.w3)
        y = scatter(y, group).add_(h)
        ctx.save_for_backward(x, q, k, v, out, lse, h, gate, up, rope, *parameters)
        ctx.plan = plan
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, q, k, v, out, lse, h, gate, up, rope, *parameters = ctx.saved_tensors
        w, plan, inner, group = Weights(*parameters), ctx.plan, ctx.plan.inner, ctx.plan.group
        C, dy = x.shape[-1], dy.contiguous()

        def norm_backward(dn: Tensor, at: Tensor, weight: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
            rows = (scatter(dn, group).view(-1, C), at.reshape(-1, C))
            d, dweight, _ = pairs.rms_norm_backward(*rows, weight, plan.eps, past=past.view(-1, C))
            return d.view(at.shape), total(dweight, group)

        n = gather(pairs.rms_norm(h.view(-1, C), w.ffn_norm, plan.eps).view(h.shape), group)
        dn, dw1, dw2, dw3 = inner.feed_backward(gather(dy, group), n, gate, up, w.w1, w.w2, w.w3)
        dh, dffn_norm = norm_backward(dn, h, w.ffn_norm, dy)

        wide = gather(dh, group).view(-1, C)  # (N, C)
        dwo = pairs.linear_weight_gradient(wide, out.reshape(-1, w.wo.shape[1]), w.wo)
        dout = pairs.linear_input_gradient(wide, w.wo).view(out.shape)
        dq, dk, dv = plan.backend.backward(dout, q, k, v, out, lse, plan.layout)
        n = gather(pairs.rms_norm(x.reshape(-1, C), w.attention_norm, plan.eps).view(x.shape), group)
        dn, dwq, dwk, dwv = inner.heads_backward(dq, dk, dv, n, w.wq, w.wk, w.wv, rope)
        dx, dattention_norm = norm_backward(dn, x, w.attention_norm, dh)
        return dx, None, None, *Weights(dattention_norm, dwq, dwk, dwv, dwo, dffn_norm, dw1, dw2, dw3)
