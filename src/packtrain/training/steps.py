"""tokens asked for → sequences a step → micro-batches → steps: arithmetic, refused early with the nearest that works"""

from __future__ import annotations

from dataclasses import dataclass

from packtrain.data.config import DataConfig
from packtrain.errors import UserError


@dataclass(frozen=True)
class Steps:
    """How a run is cut: `total` steps, each of `accumulation` micro-batches of `micro_batch` sequences a rank."""

    sequence_length: int
    micro_batch: int
    accumulation: int
    total: int
    world: int = 1

    @property
    def sequences(self) -> int:
        """Sequences in one optimiser step, over all ranks."""
        return self.micro_batch * self.accumulation * self.world

    @property
    def batch_tokens(self) -> int:
        return self.sequences * self.sequence_length

    @property
    def total_tokens(self) -> int:
        return self.total * self.batch_tokens

    def every(self, tokens: float | None, parts: int) -> int:
        """An interval in tokens as steps (at least one); None divides the run into `parts`."""
        if tokens is None:
            return max(1, self.total // parts)
        if tokens <= 0:
            raise UserError(f"an interval of {tokens:g} tokens: give a positive number, or remove the callback")
        return max(1, round(tokens / self.batch_tokens))


def plan_steps(data: DataConfig, world: int = 1) -> Steps:
    """`Steps` of a run on `world` ranks. Raises `UserError` with the nearest number that works where one does not."""
    unit = data.sequence_length * world
    if data.batch_tokens % unit or data.batch_tokens <= 0:
        nearest = max(1, round(data.batch_tokens / unit)) * unit
        raise UserError(
            f"data.batch_tokens={data.batch_tokens} is no multiple of sequence_length × devices = "
            f"{data.sequence_length} × {world}; nearest: {nearest}"
        )
    per_rank = data.batch_tokens // unit
    micro = data.micro_batch
    if micro is None:
        micro = max(n for n in range(1, min(16, per_rank) + 1) if per_rank % n == 0)
    micro = min(micro, per_rank)  # on very many devices each has fewer sequences than it could take at once
    if micro <= 0 or per_rank % micro:
        divisors = [n for n in range(1, per_rank + 1) if per_rank % n == 0]
        nearest = min(divisors, key=lambda n: (abs(n - micro), n))
        raise UserError(
            f"data.micro_batch={micro} does not divide the {per_rank} sequences that each device has per step "
            f"(batch_tokens={data.batch_tokens}); nearest: {nearest}"
        )
    if data.tokens < data.batch_tokens:
        raise UserError(
            f"data.tokens={data.tokens} is less than one batch: give at least data.batch_tokens={data.batch_tokens}"
        )
    total = -(-data.tokens // data.batch_tokens)
    return Steps(data.sequence_length, micro, per_rank // micro, total, world)
