"""torch.nn.attention.varlen: flash attention over documents laid end to end, without xformers; CUDA only"""

from __future__ import annotations

import importlib

import torch
from torch import Tensor

from packtrain.model.attention_backends.heads import expand, fold
from packtrain.model.layout import Layout


def unavailable(device: torch.device) -> str | None:
    """The reason why it does not run on `device`, or None."""
    if device.type != "cuda":
        return "runs on CUDA only"
    try:
        importlib.import_module("torch.nn.attention.varlen")
    except ImportError:
        return f"is not in torch {torch.__version__}: pip install 'torch>=2.11'"
    if torch.cuda.get_device_capability(device) < (8, 0):
        return "needs an Ampere GPU or newer"
    return None


def forward(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """(B, T, H, D), (B, T, Hkv, D) in half precision → out (B, T, H, D), lse fp32 (H, B·T)."""
    offsets, longest = _documents(q, layout)
    k, v = expand(k, q.shape[2]), expand(v, q.shape[2])
    out, lse, *_ = torch.ops.aten._flash_attention_forward(
        q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), offsets, offsets, longest, longest, 0.0, True, False
    )
    return out.view(q.shape), lse


def backward(
    dout: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, layout: Layout
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients in the shapes of q, k and v."""
    offsets, longest = _documents(q, layout)
    kv_heads, k, v = k.shape[2], expand(k, q.shape[2]), expand(v, q.shape[2])
    seed = torch.zeros(2, dtype=torch.uint64, device=q.device)  # of dropout, which there is none
    flat = [x.flatten(0, 1).contiguous() for x in (dout, q, k, v, out)]
    dq, dk, dv = torch.ops.aten._flash_attention_backward(
        *flat, lse, offsets, offsets, longest, longest, 0.0, True, seed, seed[:0]
    )
    return dq.view(q.shape), fold(dk.view(k.shape), kv_heads), fold(dv.view(v.shape), kv_heads)


def _documents(q: Tensor, layout: Layout) -> tuple[Tensor, int]:
    """Offsets over the flattened batch; each row is one document where there are none."""
    B, T = q.shape[:2]
    if layout.documents is None:
        key = ("rows", B, T, q.device)
        return layout.once(key, lambda: torch.arange(0, (B + 1) * T, T, dtype=torch.int32, device=q.device)), T
    return layout.offsets(q.device), max(layout.lengths)
