"""model/pairs.py: each hand-written gradient against finite differences in fp64"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from packtrain.model import pairs
from packtrain.model.rope import rope_table, turn

EPS = 1e-2  # large enough to matter beside mean(x²)


class Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return pairs.linear(x, w)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor]:
        x, w = ctx.saved_tensors
        return pairs.linear_input_gradient(dy, w), pairs.linear_weight_gradient(dy, x, w)


class RmsNorm(torch.autograd.Function):
    """x ↦ rms_norm(x) + x, so that the gradient past the norm is there too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return pairs.rms_norm(x, w, EPS) + x

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor]:
        x, w = ctx.saved_tensors
        dx, dw, y = pairs.rms_norm_backward(dy, x, w, EPS, past=dy)
        assert torch.equal(y, pairs.rms_norm(x, w, EPS)), "what the weight gradients behind the norm read"
        return dx, dw


class SwiGlu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return pairs.swiglu(gate, up)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor]:
        return pairs.swiglu_backward(dy, *ctx.saved_tensors)


class Rope(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Tensor) -> Tensor:
        ctx.save_for_backward(table)
        return turn(x, table, backwards=False)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        return turn(dy, ctx.saved_tensors[0], backwards=True), None


def normal(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize(
    ("pair", "inputs"),
    [
        (Linear, (normal(5, 4), normal(3, 4, seed=1))),
        (RmsNorm, (normal(5, 6), normal(6, seed=1))),
        (SwiGlu, (normal(5, 6), normal(5, 6, seed=1))),
        (Rope, (normal(2, 5, 3, 4), rope_table(torch.arange(5), 4, 100.0).double())),
        (Rope, (normal(2, 5, 3, 4), rope_table(torch.tensor([[0, 1, 2, 0, 1], [0, 0, 1, 2, 3]]), 4, 9.0).double())),
    ],
    ids=["linear", "rms_norm", "swiglu", "rope", "rope of documents"],
)
def test_a_pair_passes_gradcheck(pair: Any, inputs: tuple[Tensor, ...]) -> None:
    assert torch.autograd.gradcheck(pair.apply, inputs)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda x, w: pairs.rms_norm(x, w, EPS), lambda x, w: torch.nn.functional.rms_norm(x, (6,), w, EPS)),
        (lambda x, w: pairs.swiglu(x, w.expand_as(x)), lambda x, w: torch.nn.functional.silu(x) * w),
        (lambda x, w: pairs.linear(x, w[None]), lambda x, w: torch.nn.functional.linear(x, w[None])),
    ],
    ids=["rms_norm", "swiglu", "linear"],
)
def test_a_forward_is_the_textbook_one(ours: Callable[..., Tensor], theirs: Callable[..., Tensor]) -> None:
    x, w = normal(5, 6).detach(), normal(6, seed=1).detach()
    torch.testing.assert_close(ours(x, w), theirs(x, w), atol=1e-14, rtol=0)


def test_turned_forwards_and_backwards_is_where_it_was() -> None:
    x, table = normal(2, 7, 3, 8).detach(), rope_table(torch.arange(7), 8, 100.0)
    back = turn(turn(x, table, backwards=False), table, backwards=True)
    torch.testing.assert_close(back, x, atol=1e-6, rtol=0)
