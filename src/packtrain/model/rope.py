"""positions → angles → (cos, sin) → pairs of q and k turned

Rotary position embeddings (Su et al., 2021, arXiv 2104.09864) in Meta's convention: the neighbours (x₀, x₁), (x₂, x₃),
… of a head are the real and imaginary parts of complex numbers. Hugging Face pairs dimension i with i + D/2; the two
differ by a permutation of the rows of wq and wk.
"""

from __future__ import annotations

import torch
from torch import Tensor


def rope_table(positions: Tensor, head_dim: int, theta: float) -> Tensor:
    """(cos, sin) of t·θ^(−2j/D) for every position t and pair j: (T,) → fp32 (T, D/2, 2); (B, T) → (B, T, D/2, 2).

    Computed anew at each forward, once for all layers: no buffer to be saved, to be moved, or to be filled after the
    model was built on the meta device. Its cost is T·D/2 sines, nothing beside one layer.
    """
    exponents = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32) / head_dim
    angles = positions.float()[..., None] * theta**-exponents  # (T, D/2)
    return torch.stack((angles.cos(), angles.sin()), dim=-1)


def apply_rope(x: Tensor, rope: Tensor) -> Tensor:
    """Turns every pair of every head by the angle of its position, in fp32: (B, T, H, D) → the same, in the dtype of x.

    `rope` is from `rope_table`. Afterwards q·k depends on the distance of the two positions alone.
    """
    return turn(x, rope, backwards=False)


def turn(x: Tensor, rope: Tensor, backwards: bool) -> Tensor:
    """x · e^{±i·angle} pair by pair: forwards, or back by the conjugate, which is its gradient and its inverse.

    Compiled, the real formula is written out, for Inductor has no complex numbers; eager, one complex product is one
    pass over the memory.
    """
    pairs = x.to(torch.promote_types(x.dtype, torch.float32)).unflatten(-1, (-1, 2))  # (B, T, H, D) → (B, T, H, D/2, 2)
    table = rope.to(pairs.dtype).unsqueeze(-3)  # (…, T, 1, D/2, 2)
    if torch.compiler.is_compiling():
        (real, imaginary), cos, sin = pairs.unbind(-1), table[..., 0], table[..., 1]
        sin = -sin if backwards else sin
        turned = torch.stack((real * cos - imaginary * sin, real * sin + imaginary * cos), dim=-1)
    else:
        factor = torch.view_as_complex(table)
        turned = torch.view_as_real(torch.view_as_complex(pairs) * (factor.conj() if backwards else factor))
    return turned.flatten(-2).to(x.dtype)
