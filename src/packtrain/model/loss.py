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

CHUNK_ELEMENTS = {"cpu": 1 << 23, "cuda": 1 << 26}  # logits held at once: 262 and 2 097 tokens of 32 000 pieces


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """−mean log softmax(logits)[target] in fp32: (B, T, V), (B, T) int64 → scalar, nats a token."""
    return F.cross_entropy(logits.float().flatten(0, -2), targets.flatten())


def linear_cross_entropy(hidden: Tensor, w: Tensor, targets: Tensor, chunk: int | None = None) -> Tensor:
    """cross_entropy(hidden wᵀ, targets) without its logits: (B, T, C), (V, C), (B, T) int64 → fp32 scalar.

    `chunk` tokens are worked on at once (None: about 2²³ logits on CPU, 2²⁶ on CUDA). Where a gradient will be asked
    for, it is computed on the way: 3 matrix products, as in the plain loss, and V·C fp32 numbers to keep.
    """
    if chunk is None:
        chunk = max(1, CHUNK_ELEMENTS.get(hidden.device.type, 1 << 26) // w.shape[0])
    need = torch.is_grad_enabled() and (hidden.requires_grad or w.requires_grad)
    return LinearCrossEntropy.apply(hidden, w, targets, chunk, need)  # pyright: ignore[reportReturnType]


class LinearCrossEntropy(torch.autograd.Function):
    """With p = softmax(w h): ∂/∂h = (p − 1[target]) w / N, ∂/∂w = Σ (p − 1[target]) hᵀ / N over the N tokens."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, w: Tensor, targets: Tensor, chunk: int, need: bool) -> Tensor:
        rows, flat = hidden.flatten(0, -2), targets.flatten()  # (N, C), (N,)
        N, table = rows.shape[0], w.to(hidden.dtype)
        wide = torch.promote_types(hidden.dtype, torch.float32)
        total = torch.zeros((), dtype=wide, device=hidden.device)
        dhidden = torch.empty_like(rows) if need else None
        dw = torch.zeros(w.shape, dtype=wide, device=w.device) if need else None
        for start in range(0, N, chunk):
            h, target = rows[start : start + chunk], flat[start : start + chunk, None]
            log_p = torch.log_softmax(h.mm(table.t()).to(wide), dim=-1)  # (chunk, V)
            total -= log_p.gather(1, target).sum()
            if dhidden is None or dw is None:
                continue
            dlogits = log_p.exp_().scatter_add_(1, target, log_p.new_full((), -1.0).expand(target.shape))
            dlogits = dlogits.to(h.dtype)
            torch.mm(dlogits, table, out=dhidden[start : start + chunk])
            if h.dtype == wide:
                dw.addmm_(dlogits.t(), h, alpha=1 / N)
            elif h.is_cuda:
                dw.add_(torch.mm(dlogits.t(), h, out_dtype=wide), alpha=1 / N)
            else:
                dw.add_(dlogits.t().mm(h), alpha=1 / N)
        ctx.handed = None if dhidden is None or dw is None else (dhidden.div_(N).view(hidden.shape), dw.to(w.dtype))
        return total / N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dloss: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.handed is None:
            raise RuntimeError("the gradient of linear_cross_entropy was taken twice: it is handed over, not kept")
        (dhidden, dw), ctx.handed = ctx.handed, None  # not `saved_tensors`: the parameter can take dw without a copy
        if not (dloss.device.type == "cpu" and dloss == 1):  # on the CPU the usual case is seen without waiting
            dhidden, dw = dhidden.mul_(dloss), dw.mul_(dloss)
        return dhidden, dw, None, None, None
