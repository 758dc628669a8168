"""model shape → FLOPs per trained token, by either of two conventions

Both count a multiply and an add as two, and forward + backward as three times the forward; recomputing is not counted.

    6N            6 · N, N = all parameters. The shorthand of Kaplan et al. (2020, arXiv 2001.08361, §2.1).
    6N+attention  6 · (N − input embedding) + 12 · layers · width · T: a look-up multiplies nothing, the attention
                  scores and their sum over values do; the causal half is not taken off (PaLM, arXiv 2204.02311, B).

LLaMA-65B at 380 tokens/s on an A100 is 47.7 % by the first and 49.5 % by the second: a number of this kind means
nothing without its convention.
"""

from __future__ import annotations

from typing import Literal

from packtrain.errors import UserError, did_you_mean
from packtrain.model.config import ModelConfig, parameter_count

Convention = Literal["6N", "6N+attention"]
CONVENTIONS: tuple[Convention, ...] = ("6N", "6N+attention")


def flops_per_token(config: ModelConfig, sequence_length: int, convention: str = "6N+attention") -> float:
    """Training FLOPs of one token in a sequence of `sequence_length` (T) tokens."""
    everything = parameter_count(config)
    if convention == "6N":
        return 6.0 * everything
    if convention == "6N+attention":
        input_embedding = config.vocabulary * config.dim
        attention = 12.0 * config.n_layers * config.dim * sequence_length
        return 6.0 * (everything - input_embedding) + attention
    raise UserError(f"convention={convention}{did_you_mean(convention, CONVENTIONS)}")
