"""x → q, k, v → rope on q and k → causal attention → wo

The kernel is chosen once per kind of device: xformers on CUDA, where it neither stores the attention weights nor
computes the scores that the mask hides (LLaMA §2.4); PyTorch's own attention elsewhere.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from packtrain.model.config import ModelConfig
from packtrain.model.linear import Linear
from packtrain.model.rope import apply_rope

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


class Attention(nn.Module):
    """softmax(q kᵀ / √D + causal mask) v per head, then wo: (B, T, C) → (B, T, C).

    With fewer key and value heads than query heads, each serves a group of neighbouring query heads (Ainslie et al.,
    2023, arXiv 2305.13245).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_heads, self.kv_heads, self.head_dim = config.n_heads, config.kv_heads, config.head_dim
        self.wq = Linear(config.dim, config.n_heads * config.head_dim)
        self.wk = Linear(config.dim, config.kv_heads * config.head_dim)
        self.wv = Linear(config.dim, config.kv_heads * config.head_dim)
        self.wo = Linear(config.n_heads * config.head_dim, config.dim)

    def forward(self, x: Tensor, rope: Tensor) -> Tensor:
        B, T, _ = x.shape
        q = self.wq(x).view(B, T, self.n_heads, self.head_dim)  # (B, T, C) → (B, T, H, D)
        k = self.wk(x).view(B, T, self.kv_heads, self.head_dim)  # (B, T, C) → (B, T, Hkv, D)
        v = self.wv(x).view(B, T, self.kv_heads, self.head_dim)
        q, k = apply_rope(q, rope), apply_rope(k, rope)
        if self.kv_heads != self.n_heads:
            group = self.n_heads // self.kv_heads
            k, v = k.repeat_interleave(group, dim=2), v.repeat_interleave(group, dim=2)  # (B, T, H, D)
        heads = causal_attention(x.device.type)(q, k, v)
        return self.wo(heads.reshape(B, T, -1))  # (B, T, H, D) → (B, T, C)


@functools.cache
def causal_attention(device_type: str) -> Attend:
    """The causal kernel for `cpu`, `cuda`, …: (q, k, v), each (B, T, H, D) → (B, T, H, D).

    On CUDA xformers where it is there and runs; where not, one line on stderr says so, once, and SDPA is used.
    Elsewhere xformers is not even imported: it has no kernels there and warns about it at length.
    """
    if device_type != "cuda":
        return _sdpa
    try:
        from xformers.ops import LowerTriangularMask, memory_efficient_attention

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return memory_efficient_attention(q, k, v, attn_bias=LowerTriangularMask())

        probe = torch.zeros(1, 8, 1, 32, device=device_type, dtype=torch.bfloat16)
        attend(probe, probe, probe)
    except (ImportError, NotImplementedError, RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        print(f"xformers attention is not usable here ({reason}): using PyTorch's attention", file=sys.stderr)
        return _sdpa
    return attend


def _sdpa(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = (heads.transpose(1, 2) for heads in (q, k, v))  # (B, T, H, D) → (B, H, T, D)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
