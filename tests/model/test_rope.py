"""model/rope.py: pairs of neighbours are turned, and only distances count"""

from __future__ import annotations

import math

import torch

from packtrain.model.rope import apply_rope, rope_table


def heads(seed: int, T: int = 1, D: int = 16) -> torch.Tensor:
    return torch.randn(1, T, 1, D, generator=torch.Generator().manual_seed(seed))


def test_scores_depend_on_the_distance_alone() -> None:
    q, k = heads(0), heads(1)

    def score(i: int, j: int) -> float:
        table = rope_table(torch.tensor([i, j]), 16, 10_000.0)
        return float((apply_rope(q, table[:1]) * apply_rope(k, table[1:])).sum())

    assert math.isclose(score(7, 3), score(104, 100), abs_tol=1e-4)
    assert math.isclose(score(3, 7), score(500, 504), abs_tol=1e-4)
    assert abs(score(7, 3) - score(8, 3)) > 1e-2
    assert abs(score(7, 3) - score(3, 7)) > 1e-2


def test_neighbours_are_a_pair_turned_by_position_times_frequency() -> None:
    x = torch.zeros(1, 1, 1, 8)
    x[..., 2] = 1.0  # the real part of pair 1, whose frequency is θ^(−2/8)
    turned = apply_rope(x, rope_table(torch.tensor([5]), 8, 100.0)).flatten()
    angle = 5 * 100.0 ** (-2 / 8)
    expected = torch.tensor([0, 0, math.cos(angle), math.sin(angle), 0, 0, 0, 0], dtype=torch.float32)
    torch.testing.assert_close(turned, expected, atol=1e-6, rtol=0)


def test_position_zero_is_left_alone_and_lengths_are_kept() -> None:
    x = heads(2, T=6)
    turned = apply_rope(x, rope_table(torch.arange(6), 16, 10_000.0))
    assert torch.equal(turned[:, 0], x[:, 0])
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1), atol=1e-5, rtol=0)


def test_bf16_heads_are_turned_in_fp32_and_rounded_once() -> None:
    x = heads(3, T=2048, D=32).bfloat16()
    table = rope_table(torch.arange(2048), 32, 10_000.0)
    turned = apply_rope(x, table)
    assert turned.dtype == torch.bfloat16
    assert torch.equal(turned, apply_rope(x.float(), table).bfloat16())
