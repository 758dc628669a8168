"""conf/model/<size>.yaml → ModelConfig → sizes of every tensor, parameter counts

Free of torch, so that `packtrain plan` answers at once.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from packtrain.errors import UserError

SWITCHES = ("norm", "norm_placement", "feed_forward", "positions", "tied_embeddings")  # of the architecture


@dataclass(frozen=True)
class Recipe:
    """How a size is trained: published for 7b–65b (LLaMA, table 2), our starting points for the ladder below.

    `learning_rate` is the peak; `batch_tokens` and `tokens` count tokens (one batch, the whole run); `warmup_steps`
    counts optimiser steps.
    """

    learning_rate: float
    batch_tokens: int
    tokens: int
    warmup_steps: int

    def __post_init__(self) -> None:
        for name in ("learning_rate", "batch_tokens", "tokens"):
            if getattr(self, name) <= 0:
                raise UserError(f"model.recipe.{name}={getattr(self, name)}: expected a positive number")
        if self.warmup_steps < 0:
            raise UserError(f"model.recipe.warmup_steps={self.warmup_steps}: expected 0 or more")


@dataclass(frozen=True)
class ModelConfig:
    """The shape of one LLaMA; YAML decides these, everything else is derived.

    `n_kv_heads` (None: as many as `n_heads`) groups the query heads over fewer keys and values. `vocab_size` may stay
    None until the tokenizer is known. `ffn_dim` overrides the derived width of the feed-forward. `SWITCHES` are
    choices against which LLaMA's own (the defaults) can be held: docs/model.md. Raises `UserError` where the numbers
    do not fit together, naming the nearest that do.
    """

    dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int | None = None
    vocab_size: int | None = None
    max_sequence_length: int = 2048
    ffn_multiple_of: int = 256
    ffn_dim: int | None = None
    rope_theta: float = 10000.0
    norm_eps: float = 1e-6
    norm: Literal["rms", "layer"] = "rms"
    norm_placement: Literal["pre", "post"] = "pre"
    feed_forward: Literal["swiglu", "gelu", "relu"] = "swiglu"
    positions: Literal["rotary", "learned", "sinusoidal", "none"] = "rotary"
    tied_embeddings: bool = False
    name: str = ""
    recipe: Recipe | None = None

    def __post_init__(self) -> None:
        for name in ("dim", "n_layers", "n_heads", "max_sequence_length", "ffn_multiple_of", "rope_theta", "norm_eps"):
            if getattr(self, name) <= 0:
                raise UserError(f"model.{name}={getattr(self, name)}: expected a positive number")
        for name in ("n_kv_heads", "vocab_size", "ffn_dim"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise UserError(f"model.{name}={value}: expected a positive number or null")
        if self.dim % self.n_heads:
            near = _nearest_multiple(self.dim, 2 * self.n_heads)
            raise UserError(f"dim={self.dim} is not divisible by n_heads={self.n_heads}; nearest: {near}")
        if self.head_dim % 2:
            near = _nearest_multiple(self.dim, 2 * self.n_heads)
            raise UserError(
                f"dim={self.dim} / n_heads={self.n_heads} gives heads of {self.head_dim}, which must be even to be "
                f"rotated in pairs; nearest dim: {near}"
            )
        if self.n_heads % self.kv_heads:
            divisors = [n for n in range(1, self.n_heads + 1) if self.n_heads % n == 0]
            near = min(divisors, key=lambda n: abs(n - self.kv_heads))
            raise UserError(f"n_heads={self.n_heads} is not divisible by n_kv_heads={self.kv_heads}; nearest: {near}")
        if self.ffn_dim is None and self.feed_forward != "swiglu" and self._gated_dim % 2:
            raise UserError(
                f"feed_forward={self.feed_forward} is half as wide again as SwiGLU's {self._gated_dim}, which is odd: "
                "give an even ffn_multiple_of"
            )

    @property
    def head_dim(self) -> int:
        """Width D of one head."""
        return self.dim // self.n_heads

    @property
    def kv_heads(self) -> int:
        """Number of key and value heads."""
        return self.n_heads if self.n_kv_heads is None else self.n_kv_heads

    @property
    def hidden_dim(self) -> int:
        """Width of the feed-forward: 2/3 · 4 · dim, rounded up to a multiple of `ffn_multiple_of` (LLaMA §2.2).

        Without a gate it is half as wide again, so that two matrices hold what SwiGLU's three hold.
        """
        if self.ffn_dim is not None:
            return self.ffn_dim
        return self._gated_dim if self.feed_forward == "swiglu" else self._gated_dim * 3 // 2

    @property
    def _gated_dim(self) -> int:
        return -(-(8 * self.dim // 3) // self.ffn_multiple_of) * self.ffn_multiple_of

    @property
    def ffn_matrices(self) -> int:
        """Matrices of C · F in a feed-forward: w1, w2 and, where it has a gate, w3."""
        return 3 if self.feed_forward == "swiglu" else 2

    @property
    def unlike_llama(self) -> tuple[str, ...]:
        """The switches that are not LLaMA's, as one gives them: `model.norm=layer`."""
        given = ((name, getattr(self, name)) for name in SWITCHES)
        return tuple(f"model.{name}={str(value).lower()}" for name, value in given if value != switches()[name])

    @property
    def layer_by_hand(self) -> bool:
        """Whether the backward written by hand (`manual.py`) is that of this model's layer."""
        return (self.norm, self.norm_placement, self.feed_forward) == ("rms", "pre", "swiglu")

    def recompute(self, policy: str) -> str:
        """The recompute policy that a layer of this model has where `policy` is asked for."""
        return "none" if policy == "manual" and not self.layer_by_hand else policy

    def require_llama(self, what: str) -> None:
        """Raises `UserError` where the architecture is not LLaMA's, which is all that `what` knows."""
        if self.unlike_llama:
            raise UserError(
                f"{what} is of LLaMA's architecture alone, and this model has {', '.join(self.unlike_llama)}: "
                "train one without these switches; packtrain train, evaluate, generate and quantise take this one"
            )

    @property
    def vocabulary(self) -> int:
        """`vocab_size`, once known; before that a `UserError`."""
        if self.vocab_size is None:
            raise UserError(f"model {self.name or self.dim} has no vocabulary yet; give model.vocab_size=32000")
        return self.vocab_size


def non_embedding_parameters(config: ModelConfig) -> int:
    """Parameters of the layers and the final norm: all but the tables (tok_embeddings, output, learned positions)."""
    attention = 2 * config.dim * config.dim + 2 * config.dim * config.kv_heads * config.head_dim
    feed_forward = config.ffn_matrices * config.dim * config.hidden_dim
    return config.n_layers * (attention + feed_forward + 2 * config.dim) + config.dim


def parameter_count(config: ModelConfig) -> int:
    """All parameters, the tables included: what `sum(p.numel())` gives. Needs `vocab_size`."""
    tables = (1 if config.tied_embeddings else 2) * config.vocabulary * config.dim
    return non_embedding_parameters(config) + tables + position_parameters(config)


def position_parameters(config: ModelConfig) -> int:
    """Of the table of learned positions."""
    return config.max_sequence_length * config.dim if config.positions == "learned" else 0


def switches() -> dict[str, Any]:
    """The switches as LLaMA has them."""
    return {field.name: field.default for field in dataclasses.fields(ModelConfig) if field.name in SWITCHES}


def _nearest_multiple(value: int, of: int) -> int:
    return max(1, round(value / of)) * of
