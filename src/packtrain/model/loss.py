"""hidden states ─chunk of tokens→ logits → softmax → loss, and at once the gradients of hidden states and table

The logits of a whole batch are the largest tensor of training (4 × 2048 tokens × 32 000 pieces: 1 GB in fp32, and as
much for their gradient). Here they exist for one chunk at a time: the mean loss is a sum over tokens, so a chunk's
gradient can be taken, and its logits forgotten, before the next one's are made.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

CHUNK_BYTES = {"cpu": 1 << 25, "cuda": 1 << 27}  # logits held at once: in bf16, 524 and 2 097 tokens of 32 000 pieces
SOFTMAX_ELEMENTS = {"cpu": 1 << 20}  # of them in fp32 at once: on the CPU so few that they stay in its cache


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """−mean log softmax(logits)[target] in fp32: (B, T, V), (B, T) int64 → scalar, nats a token."""
    return F.cross_entropy(logits.float().flatten(0, -2), targets.flatten())


def linear_cross_entropy(hidden: Tensor, w: Tensor, targets: Tensor, chunk: int | None = None) -> Tensor:
    """cross_entropy(hidden wᵀ, targets) without its logits: (B, T, C), (V, C), (B, T) int64 → fp32 scalar.

    `chunk` tokens are worked on at once (None: 32 MiB of logits on CPU, 128 MiB on CUDA). Where a gradient will be
    asked for, it is computed on the way: 3 matrix products, as in the plain loss, and V·C fp32 numbers to keep.
    """
    if chunk is None:
        chunk = max(1, CHUNK_BYTES.get(hidden.device.type, 1 << 27) // (w.shape[0] * hidden.dtype.itemsize))
    need = torch.is_grad_enabled() and (hidden.requires_grad or w.requires_grad)
    return LinearCrossEntropy.apply(hidden, w, targets, chunk, need)  # pyright: ignore[reportReturnType]


class LinearCrossEntropy(torch.autograd.Function):
    """With p = softmax(w h): ∂/∂h = (p − 1[target]) w / N, ∂/∂w = Σ (p − 1[target]) hᵀ / N over the N tokens."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, w: Tensor, targets: Tensor, chunk: int, need: bool) -> Tensor:
        rows, flat = hidden.flatten(0, -2), targets.flatten()  # (N, C), (N,)
        N, V, table = rows.shape[0], w.shape[0], w.to(hidden.dtype)
        wide = torch.promote_types(hidden.dtype, torch.float32)
        total = torch.zeros((), dtype=wide, device=hidden.device)
        dhidden = torch.empty_like(rows) if need else None
        dw = torch.empty(w.shape, dtype=wide, device=w.device) if need else None
        chunk = min(chunk, N)
        few = min(chunk, max(1, SOFTMAX_ELEMENTS.get(hidden.device.type, chunk * V) // V))
        logits = rows.new_empty(chunk, V)  # one buffer for all chunks: fresh memory costs the CPU page faults
        log_p = torch.empty(few, V, dtype=wide, device=w.device)
        for start in range(0, N, chunk):
            h, target = rows[start : start + chunk], flat[start : start + chunk, None]
            z = torch.mm(h, table.t(), out=logits[: h.shape[0]])
            for part, t in zip(z.split(few), target.split(few), strict=True):
                log = torch.log_softmax(part.to(wide), dim=-1, out=log_p[: part.shape[0]])
                total -= log.gather(1, t).sum()
                if need:  # the logits become their own gradient
                    part.copy_(log.exp_().scatter_add_(1, t, log.new_full((), -1.0).expand(t.shape)))
            if dhidden is not None and dw is not None:
                torch.mm(z, table, out=dhidden[start : start + chunk])
                _add_product(dw, z, h, 1 / N, first=start == 0)
        ctx.handed = None if dhidden is None or dw is None else (dhidden.div_(N).view(hidden.shape), dw.to(w.dtype))
        return total / N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dloss: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.handed is None:
            raise RuntimeError("the gradient of linear_cross_entropy was taken twice: it is handed over, not kept")
        (dhidden, dw), ctx.handed = ctx.handed, None  # not `saved_tensors`: the parameter can take dw without a copy
        # On the CPU the usual case is seen without waiting; a fake tensor (a dry run's) has no value to see.
        if not (type(dloss) is Tensor and dloss.device.type == "cpu" and dloss == 1):
            dhidden, dw = dhidden.mul_(dloss), dw.mul_(dloss)
        return dhidden, dw, None, None, None


def _add_product(dw: Tensor, dlogits: Tensor, h: Tensor, scale: float, first: bool) -> None:
    """dw += scale · dlogitsᵀ h in the dtype of dw; the first product fills it."""
    if h.dtype == dw.dtype:
        torch.addmm(dw, dlogits.t(), h, beta=0 if first else 1, alpha=scale, out=dw)
        return
    product = torch.mm(dlogits.t(), h, out_dtype=dw.dtype) if h.is_cuda else dlogits.t().mm(h)
    if first:
        dw.copy_(product).mul_(scale)
    else:
        dw.add_(product, alpha=scale)
