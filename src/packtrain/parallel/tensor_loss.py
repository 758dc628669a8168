"""tables cut by vocabulary over t ranks: look-up, and the loss without its logits

    tokens ─ rows of this rank, 0 elsewhere ─ scatter → (B, T/t, C)
    hidden (B, T/t, C) ─ gather ─ chunk of tokens ─ logits (n, V/t) ─ max, Σ exp, target's logit over all ranks → loss

As `model/loss.py`, a chunk's gradient is taken before the next chunk's logits are made.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from packtrain.model.loss import CHUNK_BYTES
from packtrain.parallel.collectives import gather, scatter, scattered, total


def embedding(tokens: Tensor, w: Tensor, group: Any, dtype: torch.dtype) -> Tensor:
    """tokens (B, T), this rank's rows (V/t, C) → (B, T/t, C) in `dtype`."""
    local = tokens - dist.get_rank(group) * w.shape[0]
    outside = (local < 0) | (local >= w.shape[0])
    rows = F.embedding(local.masked_fill(outside, 0), w).masked_fill(outside[..., None], 0.0)
    return scattered(rows.to(dtype), group)  # one rank has the row, the others add zeros: exact


def tensor_cross_entropy(hidden: Tensor, w: Tensor, targets: Tensor, group: Any) -> Tensor:
    """Mean of −log softmax(hidden wᵀ)[target] over all tokens, the same number on all ranks of the group.

    hidden (B, T/t, C), w (V/t, C) are this rank's parts, targets (B, T) int64 is whole.
    """
    need = torch.is_grad_enabled() and (hidden.requires_grad or w.requires_grad)
    chunk = max(1, CHUNK_BYTES.get(hidden.device.type, 1 << 27) // (w.shape[0] * hidden.dtype.itemsize))
    return TensorCrossEntropy.apply(hidden, w, targets, group, chunk, need)  # pyright: ignore[reportReturnType]


class TensorCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, w: Tensor, targets: Tensor, group: Any, chunk: int, need: bool) -> Tensor:
        whole = gather(hidden, group)  # (B, T, C)
        rows, flat = whole.flatten(0, 1), targets.flatten() - dist.get_rank(group) * w.shape[0]
        N, table, wide = rows.shape[0], w.to(hidden.dtype), torch.promote_types(hidden.dtype, torch.float32)
        loss = torch.zeros((), dtype=wide, device=hidden.device)
        dhidden = torch.empty_like(rows) if need else None
        dw = torch.zeros(w.shape, dtype=wide, device=w.device) if need else None
        for start in range(0, N, chunk):
            h, target = rows[start : start + chunk], flat[start : start + chunk, None]
            logits = h.mm(table.t()).to(wide)  # (n, V/t)
            logits -= total(logits.amax(-1, keepdim=True), group, dist.ReduceOp.MAX)
            here = (target >= 0) & (target < w.shape[0])
            target = target.masked_fill(~here, 0)
            sums = torch.cat((logits.gather(1, target).masked_fill(~here, 0.0), logits.exp().sum(-1, True)), 1)
            sums = total(sums, group)  # (n, 2): the target's logit, Σ exp
            log_z = sums[:, 1:].log()
            loss += (log_z - sums[:, :1]).sum()
            if dhidden is None or dw is None:
                continue
            dlogits = (logits - log_z).exp_().scatter_add_(1, target, -here.to(wide)).to(h.dtype)
            torch.mm(dlogits, table, out=dhidden[start : start + chunk])
            dw.addmm_(dlogits.t().to(wide), h.to(wide), alpha=1 / N)
        if dhidden is not None and dw is not None:
            ctx.handed = scatter(dhidden.div_(N).view(whole.shape), group), dw.to(w.dtype)
        return loss / N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dloss: Tensor) -> tuple[Tensor | None, ...]:
        (dhidden, dw), ctx.handed = ctx.handed, None
        return dhidden.mul_(dloss), dw.mul_(dloss), None, None, None, None
