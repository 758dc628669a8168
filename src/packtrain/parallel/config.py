"""parallel.tensor, parallel.replicate, number of processes → replicate × shard × tensor, or which products are possible

Free of torch, so that `packtrain plan` and a launcher on a login node can ask as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2
from typing import Any

from packtrain.errors import UserError


@dataclass(frozen=True)
class ParallelConfig:
    """How processes share the work; how many shard the model is what is left of them.

    tensor: processes that split every layer's matrices and, between the products, the sequence (Megatron-LM's tensor
        and sequence parallelism, arXiv 1909.08053 and 2205.05198). replicate: copies of the sharded model, whose
        gradients are averaged (HSDP). sharded: None shards where there is more than one process; True also with one.
    accumulate_sharded: reduce gradients after every micro-batch instead of once a step: less memory, more to send.
    join_seconds: how long the processes wait at the start for one that does not come.
    """

    tensor: int = 1
    replicate: int = 1
    sharded: bool | None = None
    accumulate_sharded: bool = False
    join_seconds: float = 600.0

    def __post_init__(self) -> None:
        for name in ("tensor", "replicate"):
            if getattr(self, name) < 1:
                raise UserError(f"parallel.{name}={getattr(self, name)}: expected at least 1")
        if not self.join_seconds > 0:
            raise UserError(f"parallel.join_seconds={self.join_seconds}: expected more than 0")


@dataclass(frozen=True)
class Degrees:
    """Sizes of the mesh's dimensions; the last varies fastest, so that tensor groups are neighbours on one node."""

    replicate: int = 1
    shard: int = 1
    tensor: int = 1

    @property
    def world(self) -> int:
        return self.replicate * self.shard * self.tensor

    @property
    def data(self) -> int:
        """Parts that the global batch is cut into."""
        return self.replicate * self.shard

    def __str__(self) -> str:
        return f"{self.replicate} × {self.shard} × {self.tensor}"


def degrees(config: ParallelConfig, world: int) -> Degrees:
    """The mesh of `world` processes. Raises `UserError` with the possible products where there is none."""
    taken = config.tensor * config.replicate
    if world % taken:
        raise UserError(
            f"parallel.replicate={config.replicate} × parallel.tensor={config.tensor} does not divide {world} "
            f"process{'es' if world > 1 else ''}; possible replicate × shard × tensor: {_possible(config, world)}"
        )
    return Degrees(config.replicate, world // taken, config.tensor)


def check_tensor(model: Any, tensor: int, sequence_length: int) -> None:
    """Raises `UserError` where a ModelConfig's layers cannot be cut in `tensor` parts, naming the parts that can."""
    if tensor > 1:
        model.require_llama(f"parallel.tensor={tensor}")
    sizes = {
        "n_heads": model.n_heads,
        "n_kv_heads": model.kv_heads,
        "the feed-forward's width": model.hidden_dim,
        "the vocabulary": model.vocabulary,
        "data.sequence_length": sequence_length,
    }
    bad = [f"{name} ({size})" for name, size in sizes.items() if size % tensor]
    if bad:
        possible = [n for n in range(1, model.kv_heads + 1) if not any(size % n for size in sizes.values())]
        raise UserError(
            f"parallel.tensor={tensor} does not divide {', '.join(bad)}; possible: {', '.join(map(str, possible))}"
        )


def _possible(config: ParallelConfig, world: int) -> str:
    """All, or of very many the nearest to what was asked."""
    divisors = [n for n in range(1, world + 1) if world % n == 0]
    found = [Degrees(r, world // (r * t), t) for t in divisors for r in divisors if world % (r * t) == 0]
    if len(found) > 12:
        found.sort(key=lambda d: abs(log2(d.tensor / config.tensor)) + abs(log2(d.replicate / config.replicate)))
    shown = ", ".join(str(one).replace(" ", "") for one in found[:12])
    return shown + (f", … ({len(found)} in all)" if len(found) > 12 else "")
