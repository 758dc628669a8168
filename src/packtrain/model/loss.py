"""hidden states ─chunk of tokens→ logits → softmax → loss, and at once the gradients of hidden states and table

The logits of a whole batch are the largest tensor of training (4 × 2048 tokens × 32 000 pieces: 1 GB in fp32, and as
much for their gradient). Here they exist for one chunk at a time: the mean loss is a sum over tokens, so a chunk's
gradient can be taken, and its logits forgotten, before the next one's are made. `compile=true` compiles what lies
between the chunk's matrix products, `turn_into_gradient`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

CHUNK_BYTES = {"cpu": 1 << 25, "cuda": 1 << 27}  # logits held at once: in bf16, 524 and 2 097 tokens of 32 000 pieces
SOFTMAX_ELEMENTS = {"cpu": 1 << 20}  # of them in fp32 at once: on the CPU so few that they stay in its cache
TABLE_ROWS = {"cpu": 1 << 12}  # of its gradient summed at once where the products are in half precision
Inner = Callable[[Tensor, Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """−mean log softmax(logits)[target] in fp32: (B, T, V), (B, T) int64 → scalar, nats a token."""
    return F.cross_entropy(logits.float().flatten(0, -2), targets.flatten())


def linear_cross_entropy(
    hidden: Tensor, w: Tensor, targets: Tensor, chunk: int | None = None, compiler: str | None = None
) -> Tensor:
    """cross_entropy(hidden wᵀ, targets) without its logits: (B, T, C), (V, C), (B, T) int64 → fp32 scalar.

    At most `chunk` tokens are worked on at once (None: 32 MiB of logits on CPU, 128 MiB on CUDA). Where a gradient will
    be asked for, it is computed on the way: 3 matrix products, as in the plain loss, and V·C fp32 numbers to keep.
    `compiler` names a backend of torch.compile.
    """
    if chunk is None:
        chunk = max(1, CHUNK_BYTES.get(hidden.device.type, 1 << 27) // (w.shape[0] * hidden.dtype.itemsize))
    need = torch.is_grad_enabled() and (hidden.requires_grad or w.requires_grad)
    inner = between_products(compiler) if need else None
    return LinearCrossEntropy.apply(hidden, w, targets, chunk, inner)  # pyright: ignore[reportReturnType]


class LinearCrossEntropy(torch.autograd.Function):
    """With p = softmax(w h): ∂/∂h = (p − 1[target]) w / N, ∂/∂w = Σ (p − 1[target]) hᵀ / N over the N tokens."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, w: Tensor, targets: Tensor, chunk: int, inner: Inner | None) -> Tensor:
        rows, flat = hidden.flatten(0, -2), targets.flatten()  # (N, C), (N,)
        N, V, table = rows.shape[0], w.shape[0], w.to(hidden.dtype)
        wide = torch.promote_types(hidden.dtype, torch.float32)
        total = torch.zeros((), dtype=wide, device=hidden.device)
        dhidden = torch.empty_like(rows) if inner else None
        frozen = not ctx.needs_input_grad[1]
        dw = torch.empty(w.shape, dtype=wide, device=w.device) if inner and not frozen else None
        scale = torch.full((), 1 / N, dtype=wide, device=w.device)  # a tensor: another N is no reason to compile again
        chunk = -(-N // -(-N // chunk))  # as few chunks, of equal size: one shape to compile
        logits = rows.new_empty(chunk, V)  # one buffer for all chunks: fresh memory costs the CPU page faults
        for start in range(0, N, chunk):
            h, target = rows[start : start + chunk], flat[start : start + chunk, None]
            z = torch.mm(h, table.t(), out=logits[: h.shape[0]])
            if inner is None or dhidden is None:
                total -= log_softmax_of(z, target, wide)
                continue
            total -= inner(z, target, scale)
            torch.mm(z, table, out=dhidden[start : start + chunk])
            if dw is not None:
                _add_product(dw, z, h, first=start == 0)
        ctx.handed = None if dhidden is None else (dhidden.view(hidden.shape), dw if dw is None else dw.to(w.dtype))
        return total / N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dloss: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.handed is None:
            raise RuntimeError("the gradient of linear_cross_entropy was taken twice: it is handed over, not kept")
        (dhidden, dw), ctx.handed = ctx.handed, None  # not `saved_tensors`: the parameter can take dw without a copy
        # On the CPU the usual case is seen without waiting; a fake tensor (a dry run's) has no value to see.
        if not (type(dloss) is Tensor and dloss.device.type == "cpu" and dloss == 1):
            dhidden, dw = dhidden.mul_(dloss), dw if dw is None else dw.mul_(dloss)
        return dhidden, dw, None, None, None


def log_softmax_of(z: Tensor, target: Tensor, wide: torch.dtype) -> Tensor:
    """Σ log softmax(z)[target]: (n, V), (n, 1) → scalar, a few rows at a time."""
    total = torch.zeros((), dtype=wide, device=z.device)
    few = _few(z)
    for part, t in zip(z.split(few), target.split(few), strict=True):
        total += torch.log_softmax(part.to(wide), dim=-1).gather(1, t).sum()
    return total


def turn_into_gradient(z: Tensor, target: Tensor, scale: Tensor) -> Tensor:
    """Logits (n, V) become (p − 1[target]) · scale in place; returns Σ log p[target]. Eager, a few rows at a time."""
    wide, few = torch.promote_types(z.dtype, torch.float32), _few(z)
    total = torch.zeros((), dtype=wide, device=z.device)
    log_p = torch.empty(few, z.shape[1], dtype=wide, device=z.device)
    for part, t in zip(z.split(few), target.split(few), strict=True):
        log = torch.log_softmax(part.to(wide), dim=-1, out=log_p[: part.shape[0]])
        total += log.gather(1, t).sum()
        p_less_one = log.exp_().scatter_add_(1, t, log.new_full((), -1.0).expand(t.shape))
        torch.mul(p_less_one, scale, out=part)
    return total


def turn_into_gradient_fused(z: Tensor, target: Tensor, scale: Tensor) -> Tensor:
    """The same as a compiler likes it: one pass for each reduction and one that writes, a row at a time."""
    wide = z.to(scale.dtype)
    highest = wide.amax(-1, keepdim=True)
    lse = highest + (wide - highest).exp().sum(-1, keepdim=True).log()
    log_p = (wide.gather(1, target) - lse).sum()
    here = torch.arange(z.shape[1], device=z.device, dtype=torch.int32) == target.int()  # (n, V), never stored
    # The exponential is written twice: named once, the compiler would store a chunk of them in fp32.
    z.copy_(((wide - lse).exp() - here.to(scale.dtype)) * scale)
    return log_p


@functools.cache
def between_products(compiler: str | None) -> Inner:
    """What stands between a chunk's products: eager, or compiled by the backend `compiler`."""
    return turn_into_gradient if compiler is None else torch.compile(turn_into_gradient_fused, backend=compiler)


def _few(z: Tensor) -> int:
    """Rows of z (n, V) whose fp32 numbers are worked on at once."""
    return min(z.shape[0], max(1, SOFTMAX_ELEMENTS.get(z.device.type, z.numel()) // z.shape[1]))


def _add_product(dw: Tensor, dlogits: Tensor, h: Tensor, first: bool) -> None:
    """dw += dlogitsᵀ h in the dtype of dw; the first product fills it."""
    if h.dtype == dw.dtype:
        torch.addmm(dw, dlogits.t(), h, beta=0 if first else 1, out=dw)
        return
    few = TABLE_ROWS.get(h.device.type, dw.shape[0])  # on the CPU so few that the product is added from its cache
    for part, columns in zip(dw.split(few), dlogits.split(few, dim=1), strict=True):
        product = torch.mm(columns.t(), h, out_dtype=dw.dtype) if h.is_cuda else columns.t().mm(h)
        if first:
            part.copy_(product)
        else:
            part.add_(product)
