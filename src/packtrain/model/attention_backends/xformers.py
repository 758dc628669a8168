"""xformers' memory-efficient attention: what LLaMA was trained with (§2.4), CUDA only

Neither the attention weights are stored nor the scores computed that the causal mask hides (Rabe and Staats, 2021,
arXiv 2112.05682; backward of Dao et al., 2022, arXiv 2205.14135). Its package is imported on CUDA alone: elsewhere it
has no kernels and warns about that at length.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from packtrain.model.attention_backends.heads import expand, fold
from packtrain.model.layout import Layout


def unavailable(device: torch.device) -> str | None:
    """The reason why xformers does not run on `device`, or None: it is tried with one small attention."""
    if device.type != "cuda":
        return "runs on CUDA only"
    try:
        probe = torch.zeros(1, 8, 1, 32, device=device, dtype=torch.bfloat16)
        forward(probe, probe, probe, Layout())
    except ImportError as error:
        return f"is not installed: pip install xformers ({_line(error)})"
    except (NotImplementedError, RuntimeError, OSError) as error:
        return f"does not run here: {_line(error)}"
    return None


def forward(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """(B, T, H, D), (B, T, Hkv, D) → out (B, T, H, D), lse fp32 in the shape of xformers' kernel."""
    q_rows, k_rows, v_rows = _rows(layout, q, expand(k, q.shape[2]), expand(v, q.shape[2]))
    out, lse = _ops().memory_efficient_attention_forward_requires_grad(q_rows, k_rows, v_rows, _mask(layout, q.device))
    return out.view(q.shape), lse


def backward(
    dout: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, layout: Layout
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients in the shapes of q, k and v."""
    rows = _rows(layout, dout, out, q, expand(k, q.shape[2]), expand(v, q.shape[2]))
    dout_rows, out_rows, q_rows, k_rows, v_rows = rows
    dq, dk, dv = _ops().memory_efficient_attention_backward(
        dout_rows.contiguous(), out_rows, lse, q_rows, k_rows, v_rows, _mask(layout, q.device)
    )
    heads = (*q.shape[:2], q.shape[2], q.shape[3])
    return dq.view(heads), fold(dk.view(heads), k.shape[2]), fold(dv.view(heads), k.shape[2])


def _mask(layout: Layout, device: torch.device) -> Any:
    """xformers' name for the layout; made once for all layers."""

    def make() -> Any:
        if layout.documents is None:
            return _ops().LowerTriangularMask()
        bias = importlib.import_module("xformers.ops.fmha.attn_bias")
        return bias.BlockDiagonalMask.from_seqlens(layout.lengths, device=device).make_causal()

    return layout.once(("xformers", device), make)


def _rows(layout: Layout, *tensors: Tensor) -> tuple[Tensor, ...]:
    """With documents the batch is one long row: (B, T, H, D) → (1, B·T, H, D)."""
    if layout.documents is None:
        return tensors
    return tuple(x.reshape(1, -1, *x.shape[2:]) for x in tensors)


def _ops() -> Any:
    return importlib.import_module("xformers.ops")


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
