"""x, w ─one scale a tensor→ float8 ─_scaled_mm→ bf16: the linear pair with its products in eight bits

    y  = x wᵀ     both in e4m3
    dx = dy w     dy in e5m2, which has the range that gradients need; w in e4m3
    dw = dyᵀ x    bf16, as ever: the sum over all tokens is where eight bits would hurt

Scales are taken anew from each tensor's largest number ("current scaling"; formats after Micikevicius et al., 2022,
arXiv 2209.05433). For GPUs with eight-bit tensor cores; the CPU's reference kernel serves the tests. Norms, attention,
residual stream, embedding and loss stay as they are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from packtrain.model import pairs
from packtrain.model.pairs import LinearPair

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
MULTIPLE = 16  # _scaled_mm takes matrices whose sides are multiples of 16
CAPABILITY = (8, 9)  # Ada and later


def linear(x: Tensor, w: Tensor) -> Tensor:
    """y = x wᵀ: (N, in) bf16, (out, in) → (N, out) bf16."""
    return product(x, w, E4M3, E4M3)


def linear_input_gradient(dy: Tensor, w: Tensor, onto: Tensor | None = None) -> Tensor:
    """dx = dy w: (N, out) bf16, (out, in) → (N, in). Adds to `onto` in place where one is given."""
    dx = product(dy, w.t(), E5M2, E4M3)
    return dx if onto is None else onto.add_(dx)


def product(a: Tensor, b: Tensor, a_format: torch.dtype, b_format: torch.dtype) -> Tensor:
    """a bᵀ: (N, K), (M, K) → (N, M) in the dtype of `a`."""
    a8, a_scale = scaled(a, a_format)
    b8, b_scale = scaled(b, b_format)
    return torch._scaled_mm(a8, b8.t(), scale_a=a_scale, scale_b=b_scale, out_dtype=a.dtype)  # pyright: ignore


def scaled(x: Tensor, format: torch.dtype) -> tuple[Tensor, Tensor]:
    """x / scale in `format`, row by row in memory, and the fp32 scale that puts its largest number at the format's."""
    scale = (x.abs().amax().float() / torch.finfo(format).max).clamp_min(1e-12)
    return (x.float() / scale).to(format).contiguous(), scale


def unavailable(device: torch.device) -> str | None:
    """Why training in fp8 does not run on `device`, with the remedy; None where it does."""
    if device.type != "cuda":
        return f"needs a GPU with eight-bit tensor cores, and the device is {device.type}"
    found = torch.cuda.get_device_capability(device)
    if found < CAPABILITY:
        return f"needs compute capability 8.9 (Ada, Hopper or later), and this GPU has {found[0]}.{found[1]}"
    return None


PAIR = LinearPair(linear, linear_input_gradient, pairs.linear_weight_gradient)
