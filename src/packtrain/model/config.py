"""conf/model/<size>.yaml → ModelConfig → sizes of every tensor, parameter counts

Free of torch, so that `packtrain plan` answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from packtrain.errors import UserError


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
    None until the tokenizer is known. `ffn_dim` overrides the derived width of the feed-forward. Raises `UserError`
    where the numbers do not fit together, naming the nearest that do.
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
        """Width of the feed-forward: 2/3 · 4 · dim, rounded up to a multiple of `ffn_multiple_of` (LLaMA §2.2)."""
        if self.ffn_dim is not None:
            return self.ffn_dim
        return -(-(8 * self.dim // 3) // self.ffn_multiple_of) * self.ffn_multiple_of

    @property
    def vocabulary(self) -> int:
        """`vocab_size`, once known; before that a `UserError`."""
        if self.vocab_size is None:
            raise UserError(f"model {self.name or self.dim} has no vocabulary yet; give model.vocab_size=32000")
        return self.vocab_size


def non_embedding_parameters(config: ModelConfig) -> int:
    """Parameters of the layers and the final norm: all but the two tables (tok_embeddings, output) of V·C each."""
    attention = 2 * config.dim * config.dim + 2 * config.dim * config.kv_heads * config.head_dim
    feed_forward = 3 * config.dim * config.hidden_dim
    return config.n_layers * (attention + feed_forward + 2 * config.dim) + config.dim


def parameter_count(config: ModelConfig) -> int:
    """All parameters, both embedding tables included: what `sum(p.numel())` gives. Needs `vocab_size`."""
    return non_embedding_parameters(config) + 2 * config.vocabulary * config.dim


def _nearest_multiple(value: int, of: int) -> int:
    return max(1, round(value / of)) * of
