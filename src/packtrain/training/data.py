"""step → sample numbers → mixture → (domain, block) → one tensor of a whole step's sequences

The data position is the step itself: no count decides what comes next, so none can be lost. A resumed run asks for the
steps from `global_step` on, whatever the number of workers was or is. What was drawn of each domain is counted beside
it, from the batches themselves, for the ledger.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from packtrain import stop
from packtrain.data.config import DataConfig
from packtrain.data.integrity import Integrity
from packtrain.data.manifest import Manifest
from packtrain.data.mixture import Mixture, normalise, unique_blocks
from packtrain.data.phases import Phases
from packtrain.data.shards import open_blocks
from packtrain.errors import UserError
from packtrain.training.changes import Boundary, blended
from packtrain.training.drawn import Drawn
from packtrain.training.rewind import Rewind, batch_of
from packtrain.training.steps import Steps

AHEAD = 4096  # samples whose places are worked out together
Check = Callable[[], None]


class StepDataset(Dataset):
    """`[step]` → (sequences of this rank, T + 1) token ids, and how many are of each domain: pure in the step."""

    def __init__(
        self, shards: Path, mixture: Mixture, steps: Steps, rank: int = 0, rewinds: Sequence[Rewind] = ()
    ) -> None:
        self.shards, self.mixture, self.steps, self.rank, self.rewinds = shards, mixture, steps, rank, rewinds
        self._blocks: dict[int, Any] = {}  # opened where it is read: a worker must not inherit open shards
        self._ahead: tuple[int, list[int], list[int]] = (-1, [], [])  # domains and blocks of AHEAD samples

    def __len__(self) -> int:
        return self.steps.total

    def samples(self, step: int) -> np.ndarray:
        """The global sample numbers of this rank at `step`; over all ranks they are [b·S, (b + 1)·S) of batch b, which
        is the step's own number until the run was rewound past a spike."""
        per_rank = self.steps.sequences // self.steps.world
        return batch_of(step, self.rewinds) * self.steps.sequences + self.rank * per_rank + np.arange(per_rank)

    def _where(self, step: int) -> Iterator[tuple[int, int]]:
        """(domain, block) of each sample. They are found many at a time: one by one costs ten times as much."""
        for g in self.samples(step).tolist():
            part, place = divmod(g, AHEAD)
            if self._ahead[0] != part:
                domains, _, blocks = self.mixture.samples(np.arange(part * AHEAD, (part + 1) * AHEAD))
                self._ahead = (part, domains.tolist(), blocks.tolist())
            yield self._ahead[1][place], self._ahead[2][place]

    def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        where = list(self._where(step))
        rows = np.empty((len(where), self.steps.sequence_length + 1), dtype=np.int32)
        drawn = np.zeros(len(self.mixture.domains), dtype=np.int64)
        for row, (domain, block) in zip(rows, where, strict=True):
            if domain not in self._blocks:
                name = self.mixture.domains[domain]
                self._blocks[domain] = open_blocks(self.shards, name, self.steps.sequence_length)
            self._blocks[domain].read(block, row)
            drawn[domain] += 1
        return torch.from_numpy(rows), torch.from_numpy(drawn)


class StepLoader:
    """The batches of steps `start` … total − 1, with the length of the whole run.

    Lightning compares its own count of batches, which goes on after a resume, with `len`; and a loader without a length
    would be read one batch ahead. Hence a sized loader that begins in the middle.
    """

    def __init__(
        self, dataset: StepDataset, start: int, workers: int, drawn: Drawn | None = None, check: Check | None = None
    ) -> None:
        self.dataset, self.start, self.workers = dataset, start, workers
        self.drawn, self.check = drawn, check
        self.yielded = 0
        self.waited = 0.0  # seconds

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[torch.Tensor]:
        remaining = range(self.start, len(self.dataset))
        loader = DataLoader(
            self.dataset,
            batch_size=None,
            sampler=remaining,
            num_workers=self.workers,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_ignore_signals,
        )
        batches, missing = iter(loader), object()
        while True:
            begin = time.perf_counter()
            found: Any = next(batches, missing)
            self.waited += time.perf_counter() - begin
            if found is missing:
                return
            batch, drawn = found
            if self.check:
                self.check()
            if self.drawn:
                self.drawn.add(self.start + self.yielded, drawn.numpy())
            self.yielded += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"step": self.start + self.yielded}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Only checked: the position is the trainer's step, restored before this loader was made."""
        if state["step"] != self.start:
            raise UserError(f"the checkpoint's loader stood at step {state['step']}, its trainer at {self.start}")


def _ignore_signals(_: int) -> None:
    """Workers leave signals to the trainer, which finishes its step and saves."""
    for number in (*stop.signals(), signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)


class MixtureData(LightningDataModule):
    """The training mixture over packed shards."""

    def __init__(
        self,
        config: DataConfig,
        manifest: Manifest,
        shards: Path,
        mixture: Mixture,
        steps: Steps,
        integrity: Integrity | None = None,
        rank: int = 0,
        boundaries: Sequence[Boundary] = (),
        rewinds: Sequence[Rewind] = (),
    ) -> None:
        super().__init__()
        self.boundaries, self.rewinds = tuple(boundaries), tuple(rewinds)
        self.config, self.manifest, self.shards = config, manifest, shards
        self.mixture, self.steps, self.integrity, self.rank = mixture, steps, integrity, rank
        self.drawn = Drawn(mixture.domains, steps.sequences)
        self._loader: StepLoader | None = None

    def train_dataloader(self) -> StepLoader:
        assert self.trainer is not None
        step = self.trainer.global_step
        if self.drawn.step < step:  # a checkpoint that does not say: what a run of so many steps draws
            self.drawn.restore(step, self.mixture.counts(step * self.steps.sequences))
        dataset = StepDataset(self.shards, self.mixture, self.steps, self.rank, self.rewinds)
        check = self.integrity.check if self.integrity else None
        self._loader = StepLoader(dataset, step, self.config.workers, self.drawn, check)
        return self._loader

    def waited(self) -> float:
        """Seconds that batches were waited for since this was last asked."""
        if self._loader is None:
            return 0.0
        waited, self._loader.waited = self._loader.waited, 0.0
        return waited

    def shares(self) -> dict[str, float]:
        """Each domain's share of the whole run."""
        weights = self.config.weights or {n: float(d.train.tokens) for n, d in self.manifest.domains.items()}
        return blended(normalise(weights, lambda _: None), self.boundaries, self.steps.total)

    def sequences_drawn(self) -> dict[str, int]:
        """Sequences of each domain trained on up to now, over all ranks; all of them must ask together."""
        assert self.trainer is not None
        strategy = self.trainer.strategy

        def over_ranks(counts: np.ndarray) -> np.ndarray:
            if self.trainer is None or self.trainer.world_size == 1:
                return counts
            total: Any = strategy.reduce(torch.tensor(counts, device=strategy.root_device), reduce_op="sum")
            return total.cpu().numpy()

        return self.drawn.at(self.trainer.global_step, over_ranks)

    def state_dict(self) -> dict[str, Any]:
        """What was drawn; waits for the checksums, so that no checkpoint ever holds what damaged shards taught."""
        if self.integrity:
            self.integrity.wait()
        assert self.trainer is not None
        return {"step": self.trainer.global_step, "drawn": self.sequences_drawn()}

    def teardown(self, stage: str) -> None:
        """A run that ends without a checkpoint waits for the checksums, too."""
        if self.integrity and stage == "fit":
            self.integrity.wait()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.drawn.restore(state_dict["step"], state_dict["drawn"])


def build_mixture(
    config: DataConfig,
    manifest: Manifest,
    shards: Path,
    steps: Steps,
    seed: int,
    say: Callable[[str], None] = print,
    boundaries: Sequence[Boundary] = (),
    rewinds: Sequence[Rewind] = (),
) -> Mixture:
    """The mixture of the domains with a positive weight (no weights at all: each domain by its number of tokens), and
    what it becomes at `boundaries`: with the batch that the boundary's step reads, which `rewinds` may have put off.

    Raises `UserError` for a domain that the shards lack, one without a whole sequence, or fewer tokens than one batch.
    """
    changes = [(batch_of(b.step, rewinds) * steps.sequences, b.weights) for b in boundaries if b.weights is not None]
    for wanted in (config.weights, *(weights for _, weights in changes)):
        manifest.check_weights(wanted)
    weights = config.weights or {name: float(domain.train.tokens) for name, domain in manifest.domains.items()}
    weights = normalise(weights, say if config.weights else lambda _: None)
    every = [weights, *(normalise(weights, lambda _: None) for _, weights in changes)]
    blocks = {name: len(open_blocks(shards, name, config.sequence_length)) for part in every for name in part}
    for name, n in blocks.items():
        if n == 0:
            raise UserError(
                f"domain '{name}' has {manifest.domain(name).train.tokens} tokens: not one sequence of "
                f"{config.sequence_length} + 1; give it more text, a shorter data.sequence_length, or weight 0"
            )
    available = sum(blocks.values())
    if available < steps.sequences:
        raise UserError(
            f"{shards} holds {available} sequences of {config.sequence_length} tokens, one batch needs "
            f"{steps.sequences}: too few tokens for one batch; add text or set data.batch_tokens="
            f"{available * config.sequence_length} or less"
        )
    unique = unique_blocks(config.unique_tokens, config.sequence_length, weights, blocks)
    return Phases(weights, changes, blocks, seed, unique) if changes else Mixture(weights, blocks, seed, unique=unique)
