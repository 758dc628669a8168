"""x → fp32 → x / rms(x) · weight → dtype of x"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class RMSNorm(nn.Module):
    """y = x / √(mean(x²) + ε) · weight over the last dimension, computed in fp32: (…, C) → (…, C).

    Zhang and Sennrich, 2019 (arXiv 1910.07467); LLaMA §2.2 normalises the input of every sub-layer with it.
    """

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), self.weight.shape, self.weight.float(), self.eps).to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.weight.numel()}, eps={self.eps}"
