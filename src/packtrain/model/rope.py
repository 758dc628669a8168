"""positions → angles → complex numbers → pairs of q and k turned

Rotary position embeddings (Su et al., 2021, arXiv 2104.09864) in Meta's convention: the neighbours (x₀, x₁), (x₂, x₃),
… of a head are the real and imaginary parts of complex numbers. Hugging Face pairs dimension i with i + D/2; the two
differ by a permutation of the rows of wq and wk.
"""

from __future__ import annotations

import torch
from torch import Tensor


def rope_table(positions: Tensor, head_dim: int, theta: float) -> Tensor:
    """e^{i·t·θ^(−2j/D)} for every position t and pair j: (T,) → complex64 (T, D/2).

    Computed anew at each forward, once for all layers: no buffer to be saved, to be moved, or to be filled after the
    model was built on the meta device. Its cost is T·D/2 sines, nothing beside one layer.
    """
    exponents = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32) / head_dim
    angles = torch.outer(positions.float(), theta**-exponents)  # (T, D/2)
    return torch.polar(torch.ones_like(angles), angles)


def apply_rope(x: Tensor, rope: Tensor) -> Tensor:
    """Turns every pair of every head by the angle of its position, in fp32: (B, T, H, D) → the same, in the dtype of x.

    `rope` is (T, D/2) complex64 from `rope_table`. Afterwards q·k depends on the distance of the two positions alone.
    """
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))  # (B, T, H, D) → (B, T, H, D/2)
    return torch.view_as_real(pairs * rope[:, None, :]).flatten(-2).to(x.dtype)
