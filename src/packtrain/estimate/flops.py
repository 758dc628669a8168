"""model shape → FLOPs per trained token, by three stated conventions

All count a multiply and an add as two, and forward + backward as three times the forward.

    6N            6 · N, N = all parameters. The shorthand of Kaplan et al. (2020, arXiv 2001.08361, §2.1).
    6N+attention  6 · (N − input embedding) + 12 · layers · width · T: a look-up multiplies nothing, the attention
                  scores and their sum over values do; the causal half is not taken off (PaLM, arXiv 2204.02311, B).
    hardware      what the machine really multiplies: matrix products as above, attention by its causal half, its
                  backward 2½ forwards because the scores are made again (FlashAttention, arXiv 2205.14135, §3.1), and
                  what the recompute policy does twice. HFU is measured by it (Korthikanti et al., arXiv 2205.05198).

LLaMA-65B at 380 tokens/s on an A100 is 47.7 % by the first and 49.5 % by the second: a number of this kind means
nothing without its convention.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from packtrain.errors import UserError, did_you_mean
from packtrain.model.config import ModelConfig, parameter_count, position_parameters

Convention = Literal["6N", "6N+attention"]
CONVENTIONS: tuple[Convention, ...] = ("6N", "6N+attention")
Recompute = Literal["none", "full", "selective", "manual"]
RECOMPUTES: tuple[Recompute, ...] = ("manual", "none", "selective", "full")
AGAIN: dict[str, tuple[float, float]] = {  # policy: shares of the layers' products and of the attention computed again
    "none": (0.0, 0.0),
    "manual": (0.0, 0.0),
    "selective": (0.0, 0.0),
    "full": (1.0, 1.0),
}
ATTENTION_BACKWARD = 2.5  # forwards: five products of the size of the scores against two


@dataclass(frozen=True)
class Executed:
    """FLOPs that one token really costs, by kind: matrix products (output head included) and causal attention."""

    products: float
    attention: float

    @property
    def total(self) -> float:
        return self.products + self.attention


def flops_per_token(config: ModelConfig, sequence_length: int, convention: str = "6N+attention") -> float:
    """Training FLOPs of one token in a sequence of `sequence_length` (T) tokens, nothing recomputed."""
    everything = parameter_count(config)
    if convention == "6N":
        return 6.0 * everything
    if convention == "6N+attention":
        looked_up = 0 if config.tied_embeddings else config.vocabulary * config.dim  # tied: the output multiplies by it
        looked_up += position_parameters(config)
        attention = 12.0 * config.n_layers * config.dim * sequence_length
        return 6.0 * (everything - looked_up) + attention
    raise UserError(f"convention={convention}{did_you_mean(convention, CONVENTIONS)}")


def hardware_flops(
    config: ModelConfig, sequence_length: int, recompute: str = "manual", again: float | None = None
) -> Executed:
    """`Executed` of one token under a recompute policy; `again` overrides the share of the layers' products."""
    if recompute not in AGAIN:
        raise UserError(f"recompute={recompute}{did_you_mean(recompute, AGAIN)}")
    products_again, attention_again = AGAIN[recompute]
    products_again = products_again if again is None else again
    head = 2.0 * config.vocabulary * config.dim
    layers = 2.0 * layer_matrices(config) * config.n_layers
    attention = 2.0 * config.n_layers * config.dim * sequence_length  # causal: half of 4 · T · C a layer
    return Executed(3 * head + (3 + products_again) * layers, (1 + attention_again + ATTENTION_BACKWARD) * attention)


def layer_matrices(config: ModelConfig) -> int:
    """Parameters of one layer's matrices."""
    kv = config.kv_heads * config.head_dim
    return 2 * config.dim * config.dim + 2 * config.dim * kv + config.ffn_matrices * config.dim * config.hidden_dim
