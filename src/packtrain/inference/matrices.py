"""weight (out, in) → a matrix in the precision it is used in: x (…, in) → (…, out)

    fp32, bf16   as they are; fp32 on a CPU by oneDNN, where PyTorch has it: 1.4 to 3 times MKL on an AMD EPYC
    int8         one scale a row, symmetric: w ≈ q · s, q in −127 … 127
    int4         one scale and one zero for 32 neighbours: w ≈ (q − 8) · s + z, q in 0 … 15

On the CPU the quantised products are ATen's own kernels, which read a quarter or an eighth of the bytes and want bf16
activations; elsewhere the matrix is dequantised for the product. These kernels and the fp32 one are private to PyTorch:
tests compare each with the plain product.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

aten = torch.ops.aten
Precision = Literal["fp32", "bf16", "int8", "int4"]
ACTIVATIONS: dict[Precision, torch.dtype] = {
    "fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.bfloat16, "int4": torch.bfloat16,
}  # fmt: skip
GROUP = 32  # neighbours that share a scale in int4
ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
ROWS = 16  # int4's CPU kernel takes its rows in blocks of so many


class Plain(nn.Module):
    """A matrix as it is, in fp32 or bf16."""

    weight: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)

    def forward(self, x: Tensor) -> Tensor:
        if not ONEDNN or x.device.type != "cpu" or x.dtype != torch.float32 or torch.compiler.is_compiling():
            return F.linear(x, self.weight)  # F.linear takes MKL for fp32; for bf16 it takes oneDNN itself
        flat = x.reshape(-1, x.shape[-1])
        out = torch.ops.mkldnn._linear_pointwise(flat, self.weight, None, "none", [], "")
        return out.view(*x.shape[:-1], -1)


class Int8(nn.Module):
    """q int8 (out, in) and s (out,) bf16."""

    q: Tensor
    scale: Tensor

    def __init__(self, q: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("q", q)
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return F.linear(x, self.q.to(x.dtype)) * self.scale
        flat = x.reshape(-1, x.shape[-1])
        return aten._weight_int8pack_mm(flat, self.q, self.scale).view(*x.shape[:-1], -1)

    def dequantised(self) -> Tensor:
        return self.q.float() * self.scale.float()[:, None]


class Int4(nn.Module):
    """q uint8 (out, in / 2), two numbers a byte, the even one low; scale and zero (in / 32, out, 2) bf16."""

    q: Tensor
    scale_and_zero: Tensor

    def __init__(self, q: Tensor, scale_and_zero: Tensor) -> None:
        super().__init__()
        self.register_buffer("q", q)
        self.register_buffer("scale_and_zero", scale_and_zero)
        self.packed: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or self.q.shape[0] % ROWS:
            return F.linear(x, self.dequantised().to(x.dtype))
        if self.packed is None:
            self.packed = aten._convert_weight_to_int4pack_for_cpu(unpacked(self.q).int(), 1)
        flat = x.reshape(-1, x.shape[-1])
        out = aten._weight_int4pack_mm_for_cpu(flat, self.packed, GROUP, self.scale_and_zero)
        return out.view(*x.shape[:-1], -1)

    def dequantised(self) -> Tensor:
        scale, zero = (t.float().T.repeat_interleave(GROUP, 1) for t in self.scale_and_zero.unbind(-1))
        return (unpacked(self.q).float() - 8) * scale + zero


Matrix = Plain | Int8 | Int4


def matrix(weight: Tensor, precision: Precision) -> Matrix:
    """A weight (out, in) of any dtype in `precision`. int4 needs rows of a multiple of 32; others fall back to int8."""
    if precision == "int8" or (precision == "int4" and weight.shape[1] % GROUP):
        return Int8(*to_int8(weight.float()))
    if precision == "int4":
        return Int4(*to_int4(weight.float()))
    return Plain(weight.to(ACTIVATIONS[precision]).contiguous())


def to_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Each row over its largest absolute value. The scale is rounded to bf16 first, so that q makes up for it."""
    scale = (weight.abs().amax(1) / 127).clamp_min(1e-12).to(torch.bfloat16)
    q = (weight / scale.float()[:, None]).round().clamp(-127, 127).to(torch.int8)
    return q, scale


def to_int4(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Each group of 32 neighbours between its smallest and its largest number, in 16 steps."""
    groups = weight.view(weight.shape[0], -1, GROUP)  # (out, in / 32, 32)
    low, high = groups.aminmax(dim=-1)
    scale = ((high - low) / 15).clamp_min(1e-12).to(torch.bfloat16)
    zero = (low + 8 * scale.float()).to(torch.bfloat16)
    q = ((groups - zero.float()[..., None]) / scale.float()[..., None] + 8).round().clamp(0, 15).to(torch.uint8)
    q = q.view(weight.shape)
    return q[:, 0::2] | q[:, 1::2] << 4, torch.stack((scale.T, zero.T), -1).contiguous()


def unpacked(q: Tensor) -> Tensor:
    """(out, in / 2) bytes → (out, in) numbers 0 … 15."""
    return torch.stack((q & 15, q >> 4), dim=-1).view(q.shape[0], -1)
