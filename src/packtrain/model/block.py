"""x → + attention(norm) → + feed_forward(norm)"""

from __future__ import annotations

from torch import Tensor, nn

from packtrain.model.attention import Attention
from packtrain.model.config import ModelConfig
from packtrain.model.feed_forward import FeedForward
from packtrain.model.norm import RMSNorm


class TransformerBlock(nn.Module):
    """One pre-norm layer (LLaMA §2.2): the input of each sub-layer is normalised, (B, T, C) → (B, T, C)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.feed_forward = FeedForward(config)
        self.attention_norm = RMSNorm(config.dim, config.norm_eps)
        self.ffn_norm = RMSNorm(config.dim, config.norm_eps)

    def forward(self, x: Tensor, rope: Tensor) -> Tensor:
        h = x + self.attention(self.attention_norm(x), rope)
        return h + self.feed_forward(self.ffn_norm(h))
