"""a plan that does not fit → the overrides that make it fit, least painful first, each tried by the same arithmetic"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from packtrain.errors import UserError
from packtrain.estimate.hardware import TABLE, Gpu
from packtrain.estimate.memory import Memory, training_memory
from packtrain.estimate.split import Batch, ParallelChoice, divisors, make_split, sequences_per_rank
from packtrain.model.config import ModelConfig


@dataclass(frozen=True)
class Situation:
    """All that memory depends on. `micro_batch` None: the largest that fits."""

    model: ModelConfig
    gpu: Gpu
    nodes: int
    gpus_per_node: int
    choice: ParallelChoice
    batch_tokens: int
    sequence_length: int
    micro_batch: int | None
    recompute: str
    precision: str

    def memory(self, micro_batch: int) -> Memory:
        split = make_split(self.model, self.nodes * self.gpus_per_node, self.choice, self.gpus_per_node)
        each = sequences_per_rank(self.batch_tokens, self.sequence_length, split)
        batch = Batch(self.sequence_length, micro_batch, each // micro_batch)
        device = "cpu" if self.gpu.generation == "cpu" else "cuda"
        return training_memory(self.model, split, batch, self.recompute, self.precision, device)

    def fits(self, micro_batch: int) -> bool:
        return self.memory(micro_batch).total <= self.gpu.memory_bytes

    def choices(self) -> list[int]:
        """The micro-batches that divide a rank's sequences."""
        split = make_split(self.model, self.nodes * self.gpus_per_node, self.choice, self.gpus_per_node)
        return divisors(sequences_per_rank(self.batch_tokens, self.sequence_length, split))

    def largest(self) -> int | None:
        """The largest micro-batch that fits and divides; None where not even one sequence fits."""
        return max((n for n in self.choices() if self.fits(n)), default=None)


def what_to_change(now: Situation) -> list[str]:
    """Overrides that make `now` fit, each line one way; empty where nothing in reach does."""
    found: list[str] = []
    for overrides, changed in _ways(now):
        if any(way.split("=")[0] == overrides.split("=")[0] for way in found):
            continue  # the smallest change of a kind is enough
        try:
            micro = changed.micro_batch or changed.largest()
            if micro and changed.fits(micro):
                more = f" sequences_per_gpu={micro}" if now.micro_batch not in (None, micro) else ""
                found.append(overrides + ("" if "sequences_per_gpu" in overrides else more))
        except UserError:  # a split that this model or batch does not allow
            continue
    return found[:4]


def _ways(now: Situation) -> Iterator[tuple[str, Situation]]:
    change: Callable[..., Situation] = lambda **new: Situation(**{**now.__dict__, **new})  # noqa: E731
    if now.micro_batch and now.micro_batch > 1:
        best = change(micro_batch=None).largest()
        if best:
            yield f"sequences_per_gpu={best}", change(micro_batch=best)
    if now.choice.replicate > 1:
        yield "parallel.replicate=1", change(choice=ParallelChoice(now.choice.tensor, 1), micro_batch=None)
    for recompute in ("manual", "full"):
        if now.recompute != recompute and now.recompute != "full":
            yield f"recompute={recompute}", change(recompute=recompute, micro_batch=None)
    for tensor in (2, 4, 8):
        if tensor > now.choice.tensor and tensor <= now.gpus_per_node:
            choice = ParallelChoice(tensor, now.choice.replicate)
            yield f"parallel.tensor={tensor}", change(choice=choice, micro_batch=None)
    alone = now.gpu.generation == "cpu"  # this machine, of which there is one
    for gpus in () if alone else (2, 4, 8):
        if now.nodes == 1 and gpus > now.gpus_per_node:
            yield f"cluster.gpus_per_node={gpus}", change(gpus_per_node=gpus, micro_batch=None)
            yield (
                f"cluster.gpus_per_node={gpus} recompute=full",
                change(gpus_per_node=gpus, recompute="full", micro_batch=None),
            )
    further = [nodes for nodes in (2, 4, 8, 16, 32, 64) if nodes > now.nodes and not alone]
    each = max(8, now.gpus_per_node)
    for more, new in (
        ("", {}),
        (" recompute=full", {"recompute": "full"}),
        *(
            (
                f" recompute=full parallel.replicate=1 parallel.tensor={tensor}",
                {"recompute": "full", "choice": ParallelChoice(tensor, 1)},
            )
            for tensor in sorted({now.choice.tensor, 8})
        ),
    ):
        for nodes in further:
            place = f"cluster.nodes={nodes} cluster.gpus_per_node={each}"
            yield f"{place}{more}", change(nodes=nodes, gpus_per_node=each, micro_batch=None, **new)
    for gpu in sorted(TABLE.values(), key=lambda row: row.memory_gb):
        if gpu.memory_gb > now.gpu.memory_gb and gpu.device:
            yield f"cluster.gpu={gpu.name}", change(gpu=gpu, micro_batch=None)
