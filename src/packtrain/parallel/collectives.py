"""sequence shard ⇄ whole sequence, and sums over a tensor group: each with the collective that is its gradient

    gather    (B, T/t, C) → (B, T, C)              backward: scatter
    scatter   Σ over ranks of (B, T, C) → (B, T/t, C)   backward: gather
    shared    w → w                                backward: Σ over ranks

Called as plain functions inside a backward written by hand, as autograd functions elsewhere. Each blocks its stream
until it is done: no asynchronous tensor is ever handed on.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

# torch 2.13 renamed both
_ALL_GATHER: Any = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
_REDUCE_SCATTER: Any = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor


def gather(x: Tensor, group: Any) -> Tensor:
    """The parts of all ranks along dimension 1: (B, T/t, C) → (B, T, C)."""
    t = dist.get_world_size(group)
    if t == 1:
        return x
    rows = x.transpose(0, 1).contiguous()  # (T/t, B, C): a collective joins along the first dimension
    whole = rows.new_empty(t * rows.shape[0], *rows.shape[1:])
    _ALL_GATHER(whole, rows, group=group)
    return whole.transpose(0, 1).contiguous()


def scatter(x: Tensor, group: Any) -> Tensor:
    """Sums over the ranks and keeps this one's part along dimension 1: (B, T, C) → (B, T/t, C)."""
    t = dist.get_world_size(group)
    if t == 1:
        return x
    rows = x.transpose(0, 1).contiguous()  # (T, B, C)
    part = rows.new_empty(rows.shape[0] // t, *rows.shape[1:])
    _REDUCE_SCATTER(part, rows, group=group)
    return part.transpose(0, 1).contiguous()


def total(x: Tensor, group: Any, op: Any = dist.ReduceOp.SUM) -> Tensor:
    """Reduces x over the ranks in place, and returns it."""
    if dist.get_world_size(group) > 1:
        dist.all_reduce(x, op, group=group)
    return x


outside: Any = torch.compiler.disable


class Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Any) -> Tensor:
        ctx.group = group
        return gather(x, group)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        return scatter(dy, ctx.group), None


class Scatter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Any) -> Tensor:
        ctx.group = group
        return scatter(x, group)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        return gather(dy, ctx.group), None


class Shared(torch.autograd.Function):
    """A parameter that every rank has and uses on its own tokens: its gradient is the sum over the ranks."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, group: Any) -> Tensor:
        ctx.group = group
        return w.view_as(w)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dw: Tensor) -> tuple[Tensor, None]:
        return total(dw.contiguous().clone(), ctx.group), None


# A collective is no kernel to fuse, and tracing would hand on its asynchronous result.
@outside
def gathered(x: Tensor, group: Any) -> Tensor:
    """`gather` under autograd."""
    return Gather.apply(x, group)  # pyright: ignore[reportReturnType]


@outside
def scattered(x: Tensor, group: Any) -> Tensor:
    """`scatter` under autograd."""
    return Scatter.apply(x, group)  # pyright: ignore[reportReturnType]


@outside
def shared(w: Tensor, group: Any) -> Tensor:
    """`w`, its gradient summed over the ranks."""
    return Shared.apply(w, group)  # pyright: ignore[reportReturnType]
