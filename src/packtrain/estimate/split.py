"""GPUs = shard × replicate × tensor, a model that divides among them → Split, or one line with the remedy"""

from __future__ import annotations

from dataclasses import dataclass

from packtrain.errors import UserError
from packtrain.model.config import ModelConfig


@dataclass(frozen=True)
class ParallelChoice:
    """`parallel.tensor` GPUs share every layer, `parallel.replicate` copies hold the whole sharded model (HSDP); the
    rest of the GPUs shard weights, gradients and optimiser among them (FSDP)."""

    tensor: int = 1
    replicate: int = 1

    def __post_init__(self) -> None:
        for name in ("tensor", "replicate"):
            if getattr(self, name) < 1:
                raise UserError(f"parallel.{name}={getattr(self, name)}: expected at least 1")


@dataclass(frozen=True)
class Split:
    """`gpus` = `shard` · `replicate` · `tensor`; `data` ranks see different sequences."""

    gpus: int
    tensor: int
    replicate: int

    @property
    def shard(self) -> int:
        return self.gpus // (self.tensor * self.replicate)

    @property
    def data(self) -> int:
        return self.gpus // self.tensor


@dataclass(frozen=True)
class Batch:
    """How one step's sequences fall on the data-parallel ranks."""

    sequence_length: int
    micro_batch: int
    accumulation: int

    @property
    def tokens(self) -> int:
        """Of one micro-batch on one rank."""
        return self.micro_batch * self.sequence_length


def make_split(model: ModelConfig, gpus: int, choice: ParallelChoice, gpus_per_node: int = 8) -> Split:
    """Raises `UserError` for a product that is no divisor of the GPUs, or a model that cannot be split so."""
    unit = choice.tensor * choice.replicate
    if gpus % unit:
        raise UserError(
            f"parallel.tensor={choice.tensor} × parallel.replicate={choice.replicate} = {unit} does not divide the "
            f"{gpus} GPUs of the cluster; {_possible(gpus, choice)}"
        )
    for what, size in (
        ("n_heads", model.n_heads),
        ("n_kv_heads", model.kv_heads),
        ("the feed-forward", model.hidden_dim),
    ):
        if size % choice.tensor:
            fitting = [n for n in divisors(model.kv_heads) if model.n_heads % n == 0 and model.hidden_dim % n == 0]
            raise UserError(
                f"parallel.tensor={choice.tensor} does not divide {what}={size} of model {model.name or model.dim}; "
                f"it may be {', '.join(map(str, fitting))}"
            )
    if choice.tensor > gpus_per_node:
        raise UserError(
            f"parallel.tensor={choice.tensor} is more than the {gpus_per_node} GPUs of a node, and its traffic needs "
            f"the node's own links: at most parallel.tensor={max(n for n in divisors(gpus_per_node))}"
        )
    return Split(gpus, choice.tensor, choice.replicate)


def sequences_per_rank(batch_tokens: int, sequence_length: int, split: Split) -> int:
    """Sequences of one step on each data-parallel rank. Raises `UserError` with the nearest batch that works."""
    unit = sequence_length * split.data
    if batch_tokens % unit or batch_tokens < unit:
        nearest = max(1, round(batch_tokens / unit)) * unit
        ranks = f"{split.data} data-parallel ranks ({split.gpus} GPUs / tensor {split.tensor})"
        raise UserError(
            f"data.batch_tokens={batch_tokens} cannot be dealt to {ranks} in sequences of {sequence_length}; "
            f"nearest: data.batch_tokens={nearest}"
        )
    return batch_tokens // unit


def divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


def _possible(gpus: int, choice: ParallelChoice) -> str:
    for kept, other in (("replicate", "tensor"), ("tensor", "replicate")):
        if gpus % getattr(choice, kept) == 0:
            options = divisors(gpus // getattr(choice, kept))[:8]
            return f"with this {kept}, {other} may be {', '.join(map(str, options))}"
    return f"replicate × tensor may be at most {gpus} and must divide it"
