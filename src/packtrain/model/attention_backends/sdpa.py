"""PyTorch's own kernels, called below autograd: flash on the CPU; flash and cutlass on CUDA

These are what `F.scaled_dot_product_attention` runs. They are called by name because a backward written by hand needs
the log-sum-exp that the public function keeps to itself.
"""

from __future__ import annotations

import torch
from torch import Tensor

from packtrain.model.attention_backends.heads import expand, fold
from packtrain.model.layout import Layout

aten = torch.ops.aten
CAUSAL_FROM_TOP_LEFT = 1  # cutlass' number for "a query sees the keys up to its own place"


def unavailable(device: torch.device) -> str | None:
    """Runs on CPU and CUDA."""
    return None if device.type in ("cpu", "cuda") else f"has no kernel for {device.type}"


def forward(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """(B, T, H, D), (B, T, Hkv, D) → out (B, T, H, D), lse in the kernel's own shape, fp32 (fp64 for fp64)."""
    k, v = expand(k, q.shape[2]), expand(v, q.shape[2])
    if q.device.type == "cpu":
        mask = None if layout.documents is None else layout.mask(q.shape[1], q.device, q.dtype)
        out, lse = aten._scaled_dot_product_flash_attention_for_cpu(
            _swap(q), _swap(k), _swap(v), 0.0, mask is None, attn_mask=mask
        )
        return _swap(out), lse
    if _flash(q, layout):
        out, lse, *_ = aten._flash_attention_forward(q, k, v, None, None, q.shape[1], k.shape[1], 0.0, True, False)
        return out, lse
    offsets, longest = _documents(q, layout)
    out, lse, *_ = aten._efficient_attention_forward(
        *_rows(layout, q, k, v), None, offsets, offsets, longest, longest, 0.0, CAUSAL_FROM_TOP_LEFT, True
    )
    return out.view(q.shape), lse


def backward(
    dout: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, layout: Layout
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients in the shapes of q, k and v; recomputes the attention weights from the log-sum-exp."""
    kv_heads = k.shape[2]
    k, v = expand(k, q.shape[2]), expand(v, q.shape[2])
    if q.device.type == "cpu":
        mask = None if layout.documents is None else layout.mask(q.shape[1], q.device, q.dtype)
        dq, dk, dv = (
            _swap(gradient)
            for gradient in aten._scaled_dot_product_flash_attention_for_cpu_backward(
                _swap(dout), _swap(q), _swap(k), _swap(v), _swap(out), lse, 0.0, mask is None, attn_mask=mask
            )
        )
        return dq, fold(dk, kv_heads), fold(dv, kv_heads)
    seed = torch.zeros(2, dtype=torch.uint64, device=q.device)  # of dropout, which there is none
    if _flash(q, layout):
        T = q.shape[1]
        dq, dk, dv = aten._flash_attention_backward(
            dout.contiguous(), q, k, v, out, lse, None, None, T, T, 0.0, True, seed, seed[:0]
        )
        return dq, fold(dk, kv_heads), fold(dv, kv_heads)
    offsets, longest = _documents(q, layout)
    dout, q_rows, k_rows, v_rows, out = _rows(layout, dout, q, k, v, out)
    no_seed = torch.zeros((), dtype=torch.int64, device=q.device)
    dq, dk, dv, _ = aten._efficient_attention_backward(
        dout.contiguous(), q_rows, k_rows, v_rows, None, out, offsets, offsets, longest, longest, lse, 0.0,
        no_seed, no_seed, CAUSAL_FROM_TOP_LEFT, False,
    )  # fmt: skip
    return dq.view(q.shape), fold(dk.view(k.shape), kv_heads), fold(dv.view(v.shape), kv_heads)


def _flash(q: Tensor, layout: Layout) -> bool:
    """Flash where it can: half precision, heads of a multiple of 8 up to 256, plain causal attention."""
    half = q.dtype in (torch.bfloat16, torch.float16)
    return half and layout.documents is None and q.shape[-1] % 8 == 0 and q.shape[-1] <= 256


def _documents(q: Tensor, layout: Layout) -> tuple[Tensor | None, int]:
    if layout.documents is None:
        return None, q.shape[1]
    return layout.offsets(q.device), max(layout.lengths)


def _rows(layout: Layout, *tensors: Tensor) -> tuple[Tensor, ...]:
    """With documents the batch is one long row: (B, T, H, D) → (1, B·T, H, D)."""
    if layout.documents is None:
        return tensors
    return tuple(x.reshape(1, -1, *x.shape[2:]) for x in tensors)


def _swap(x: Tensor) -> Tensor:
    return x.transpose(1, 2)  # (B, T, H, D) ⇄ (B, H, T, D)
