"""x → silu(w1 x) ⊙ w3 x → w2;  without a gate: x → gelu(w1 x) or relu(w1 x) → w2"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from packtrain.model.config import ModelConfig
from packtrain.model.linear import Linear

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "relu": F.relu}


class FeedForward(nn.Module):
    """SwiGLU (Shazeer, 2020, arXiv 2002.05202; LLaMA §2.2): w2(silu(w1 x) ⊙ w3 x), (B, T, C) → (B, T, C)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.w1 = Linear(config.dim, config.hidden_dim)
        self.w2 = Linear(config.hidden_dim, config.dim)
        self.w3 = Linear(config.dim, config.hidden_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class UngatedFeedForward(nn.Module):
    """w2(f(w1 x)) of Vaswani et al., 2017, §3.3: f ReLU, or GELU by the error function (arXiv 1606.08415)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.w1 = Linear(config.dim, config.hidden_dim)
        self.w2 = Linear(config.hidden_dim, config.dim)
        self.activation = ACTIVATIONS[config.feed_forward]

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(self.activation(self.w1(x)))


def make_feed_forward(config: ModelConfig) -> nn.Module:
    """The one that `model.feed_forward` names."""
    return FeedForward(config) if config.feed_forward == "swiglu" else UngatedFeedForward(config)


def split_swiglu(joined: Tensor) -> Tensor:
    """silu(w1 x) ⊙ w3 x of both at once: (…, 2 F) → (…, F)."""
    gate, up = joined.chunk(2, dim=-1)
    return F.silu(gate) * up


def activation(config: ModelConfig) -> Callable[[Tensor], Tensor]:
    """What stands between the first product (w1, and w3 behind it where there is one) and w2."""
    return ACTIVATIONS.get(config.feed_forward, split_swiglu)
