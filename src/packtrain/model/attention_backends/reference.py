"""scores → mask → softmax → weighted values, written out: the oracle of the other kernels

Holds all B·H·T² scores. Computes in fp32, or in fp64 where the input is.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from packtrain.model.attention_backends.heads import expand, fold
from packtrain.model.layout import Layout


def unavailable(device: torch.device) -> str | None:
    """Runs everywhere."""
    return None


def forward(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """out = P v with P = softmax(q kᵀ/√D + mask): (B, T, H, D), (B, T, Hkv, D) → (B, T, H, D) and lse (B, H, T)."""
    scores = _scores(q, k, layout)
    lse = scores.logsumexp(-1)  # (B, H, T)
    P = (scores - lse[..., None]).exp()
    out = torch.einsum("bhts,bshd->bthd", P, _wide(expand(v, q.shape[2])))
    return out.to(q.dtype), lse


def backward(
    dout: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, layout: Layout
) -> tuple[Tensor, Tensor, Tensor]:
    """dv = Pᵀ dout;  dS = P ⊙ (dout vᵀ − rowsum(dout ⊙ out));  dq = dS k/√D;  dk = dSᵀ q/√D."""
    H, Hkv, root = q.shape[2], k.shape[2], math.sqrt(q.shape[-1])
    P = (_scores(q, k, layout) - lse[..., None]).exp()  # (B, H, T, T)
    wide = _wide(dout)
    dP = torch.einsum("bthd,bshd->bhts", wide, _wide(expand(v, H)))
    rows = (wide * _wide(out)).sum(-1).transpose(1, 2)  # (B, T, H) → (B, H, T)
    dS = P * (dP - rows[..., None]) / root
    dq = torch.einsum("bhts,bshd->bthd", dS, _wide(expand(k, H)))
    dk = torch.einsum("bhts,bthd->bshd", dS, _wide(q))
    dv = torch.einsum("bhts,bthd->bshd", P, wide)
    return dq.to(q.dtype), fold(dk, Hkv).to(k.dtype), fold(dv, Hkv).to(v.dtype)


def _scores(q: Tensor, k: Tensor, layout: Layout) -> Tensor:
    wide = _wide(q) / math.sqrt(q.shape[-1])
    scores = torch.einsum("bthd,bshd->bhts", wide, _wide(expand(k, q.shape[2])))
    return scores + layout.mask(q.shape[1], q.device, scores.dtype)


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
