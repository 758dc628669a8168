"""Hkv key heads → H, each repeated for its group of query heads;  gradients of the H → summed over each group

For kernels that want as many key and value heads as query heads (Ainslie et al., 2023, arXiv 2305.13245).
"""

from __future__ import annotations

from torch import Tensor


def expand(heads: Tensor, n_heads: int) -> Tensor:
    """(B, T, Hkv, D) → (B, T, H, D); the tensor itself where there is nothing to repeat."""
    group = n_heads // heads.shape[2]
    return heads if group == 1 else heads.repeat_interleave(group, dim=2)


def fold(gradient: Tensor, kv_heads: int) -> Tensor:
    """(B, T, H, D) → (B, T, Hkv, D): the gradient of `expand`."""
    if gradient.shape[2] == kv_heads:
        return gradient
    return gradient.unflatten(2, (kv_heads, -1)).sum(3)
