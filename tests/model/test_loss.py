"""The loss over chunks of tokens: the plain loss, its gradients, and no tensor that grows with B·T·V"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from packtrain.model.loss import cross_entropy, linear_cross_entropy

C, V = 16, 101


def problem(B: int, T: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(B, T, C, generator=generator).to(dtype).requires_grad_()
    w = torch.randn(V, C, generator=generator, dtype=torch.float64 if dtype == torch.float64 else torch.float32)
    return hidden, w.requires_grad_(), torch.randint(0, V, (B, T), generator=generator)


@pytest.mark.parametrize("compiler", [None, "aot_eager"])
@pytest.mark.parametrize("chunk", [1, 7, 30, 1000, None])
def test_in_fp32_it_equals_the_plain_loss_and_its_gradients(chunk: int | None, compiler: str | None) -> None:
    hidden, w, targets = problem(3, 10)
    expected = cross_entropy(hidden @ w.T, targets)
    loss = linear_cross_entropy(hidden, w, targets, chunk, compiler)
    assert (loss - expected).abs() <= 1e-6 * expected
    plain = torch.autograd.grad(expected * 3, (hidden, w))
    for ours, theirs in zip(torch.autograd.grad(loss * 3, (hidden, w)), plain, strict=True):
        assert (ours - theirs).norm() <= 1e-6 * theirs.norm()


@pytest.mark.parametrize("compiler", [None, "aot_eager"])
def test_in_fp64_it_is_the_plain_loss_to_the_last_digits(compiler: str | None) -> None:
    hidden, w, targets = problem(2, 9, torch.float64)
    plain = torch.nn.functional.cross_entropy((hidden @ w.T).flatten(0, 1), targets.flatten())
    loss = linear_cross_entropy(hidden, w, targets, 4, compiler)
    torch.testing.assert_close(loss, plain, atol=1e-14, rtol=0)
    exact = torch.autograd.grad(plain, (hidden, w))
    for ours, theirs in zip(torch.autograd.grad(loss, (hidden, w)), exact, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-14, rtol=0)


@pytest.mark.parametrize("compiler", [None, "aot_eager"])
def test_in_bf16_it_follows_the_plain_loss_and_sums_the_table_in_fp32(compiler: str | None) -> None:
    hidden, w, targets = problem(8, 64, torch.bfloat16)
    expected = cross_entropy(hidden.float() @ w.T, targets)
    exact = torch.autograd.grad(expected, (hidden, w))
    loss = linear_cross_entropy(hidden, w, targets, 32, compiler)
    found = torch.autograd.grad(loss, (hidden, w))
    assert loss.dtype == torch.float32 and (loss - expected).abs() < 1e-2 * expected
    assert [gradient.dtype for gradient in found] == [torch.bfloat16, torch.float32]
    for ours, theirs in zip(found, exact, strict=True):
        assert (ours.float() - theirs.float()).norm() < 2e-2 * theirs.float().norm()


@pytest.mark.parametrize("compiler", [None, "aot_eager"])
def test_extreme_logits_stay_finite(compiler: str | None) -> None:
    hidden, w, targets = problem(2, 5)
    loss = linear_cross_entropy(hidden * 300, w, targets, 4, compiler)
    torch.testing.assert_close(loss, cross_entropy(hidden * 300 @ w.T, targets), rtol=1e-6, atol=0)
    assert torch.isfinite(torch.autograd.grad(loss, w)[0]).all()


class Largest(TorchDispatchMode):
    """Bytes of the largest tensor that any operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        sizes = [leaf.untyped_storage().nbytes() for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        self.bytes = max([self.bytes, *sizes])
        return result


def largest(tokens: int, chunk: int | None) -> int:
    hidden, w, targets = problem(1, tokens)
    with Largest() as seen:
        loss = linear_cross_entropy(hidden, w, targets, chunk) if chunk else cross_entropy(hidden @ w.T, targets)
        loss.backward()
    return seen.bytes


def test_the_largest_tensor_is_one_chunk_however_many_tokens_there_are() -> None:
    assert largest(256, 128) == largest(512, 128) == 128 * V * 4
    assert largest(512, None) == 512 * V * 4, "the plain loss, by the same measure, holds all logits"


def test_without_gradients_none_are_computed() -> None:
    hidden, w, targets = problem(1, 64)
    products: list[Any] = []

    class Count(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            products.extend([func] * func.name().startswith(("aten::mm", "aten::addmm")))
            return func(*args, **(kwargs or {}))

    with torch.no_grad(), Count():
        linear_cross_entropy(hidden, w, targets, 32)
    assert len(products) == 2


def test_its_gradient_is_handed_over_once() -> None:
    hidden, w, targets = problem(1, 4)
    loss = linear_cross_entropy(hidden, w, targets)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="taken twice"):
        loss.backward()
