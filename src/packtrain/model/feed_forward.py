"""x → silu(w1 x) ⊙ w3 x → w2"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from packtrain.model.config import ModelConfig
from packtrain.model.linear import Linear


class FeedForward(nn.Module):
    """SwiGLU (Shazeer, 2020, arXiv 2002.05202; LLaMA §2.2): w2(silu(w1 x) ⊙ w3 x), (B, T, C) → (B, T, C)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.w1 = Linear(config.dim, config.hidden_dim)
        self.w2 = Linear(config.hidden_dim, config.dim)
        self.w3 = Linear(config.dim, config.hidden_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(F.silu(self.w1(x)) * self.w3(x))
