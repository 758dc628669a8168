"""conf/data/*.yaml → DataConfig: which shards, in which proportions, in blocks of which length, for how many tokens"""

from __future__ import annotations

import math
from dataclasses import dataclass

from packtrain.errors import UserError


@dataclass(frozen=True)
class DataConfig:
    """What a run trains on. `batch_tokens` and `tokens` count tokens over all ranks.

    path: directory of packed shards (`packtrain pack`); None for data=text, where the shards are made from `input`.
    weights: sampling proportion per domain; normalised to one, a domain of weight 0 is not read. Empty: every
        domain of the shards by its number of tokens.
    micro_batch: sequences a device works on at once, or all it has where that is less; None takes the largest that
        divides, up to 16.
    document_mask: documents packed into one sequence do not see each other, and positions start anew with each.
    cache_gib: where `path` is a URL, so much of it is kept in data/cache.
    unique_tokens: train on so many tokens only, a random choice by the seed with each domain's share by its weight, and
        repeat them for `tokens`; None: all there are.
    held_out: share of documents kept for validation where the documents do not say it themselves (data=text).
    """

    path: str | None
    weights: dict[str, float]
    sequence_length: int
    vocab_size: int | None
    tokens: int
    batch_tokens: int
    micro_batch: int | None = None
    workers: int = 0
    input: str | None = None
    document_mask: bool = False
    held_out: float = 0.05
    cache_gib: float = 20.0
    unique_tokens: int | None = None

    def __post_init__(self) -> None:
        for name in ("sequence_length", "tokens", "batch_tokens", "micro_batch"):
            if (getattr(self, name) or 0) < 1 and not (name == "micro_batch" and self.micro_batch is None):
                raise UserError(f"data.{name}={getattr(self, name)}: expected at least 1")
        if self.vocab_size is not None and self.vocab_size < 1:
            raise UserError(f"data.vocab_size={self.vocab_size}: expected at least 1, or null")
        if self.unique_tokens is not None and self.unique_tokens < self.sequence_length:
            raise UserError(f"data.unique_tokens={self.unique_tokens}: expected a sequence's tokens at least, or null")
        if not self.cache_gib > 0:
            raise UserError(f"data.cache_gib={self.cache_gib}: expected more than 0")
        if self.workers < 0:
            raise UserError(f"data.workers={self.workers}: expected 0 or more")
        if not 0.0 < self.held_out < 1.0:
            raise UserError(f"data.held_out={self.held_out}: expected a share between 0 and 1, both excluded")
        for domain, weight in self.weights.items():
            if not math.isfinite(weight) or weight < 0:
                raise UserError(f"data.weights.{domain}={weight}: expected 0 or more")
        if self.weights and not any(self.weights.values()):
            raise UserError("data.weights: every weight is 0; give at least one domain a positive weight")
