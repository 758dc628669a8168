"""model, data, optimiser as configured → checked against the shards → everything a run needs; nothing is written yet"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packtrain.checkpoint.load import model_to_meta
from packtrain.data.config import DataConfig
from packtrain.data.integrity import Integrity
from packtrain.data.manifest import MANIFEST, TOKENIZER, Manifest
from packtrain.data.mixture import Mixture, MixtureReport
from packtrain.data.remote_shards import local_pack
from packtrain.errors import UserError
from packtrain.model.config import ModelConfig, parameter_count
from packtrain.model.lora_config import adapter_parameters
from packtrain.parallel.config import check_tensor, degrees
from packtrain.training.changes import Boundary, Change, Schedule, plan_changes
from packtrain.training.data import MixtureData, build_mixture
from packtrain.training.rewind import Rewind
from packtrain.training.schedule import OptimConfig, check_warmup
from packtrain.training.steps import Steps, plan_steps
from packtrain.training.tuning import Tuning


@dataclass(frozen=True)
class Setup:
    """A run whose parts fit together. `shards` is the pack, `model` has the vocabulary of its tokenizer."""

    shards: Path
    manifest: Manifest
    model: ModelConfig
    data: DataConfig
    steps: Steps
    mixture: Mixture
    seed: int
    integrity: Integrity
    boundaries: tuple[Boundary, ...]
    schedule: Schedule

    @property
    def tokenizer(self) -> bytes:
        return (self.shards / TOKENIZER).read_bytes()

    @property
    def fingerprints(self) -> dict[str, str]:
        return {"data": self.manifest.fingerprint, "tokenizer": self.manifest.tokenizer_fingerprint}

    def trained_parameters(self, tuning: Tuning | None) -> int:
        """How many numbers the optimiser changes: all, or LoRA's alone."""
        lora = tuning is not None and tuning.lora.rank > 0
        return adapter_parameters(self.model, tuning.lora) if tuning and lora else parameter_count(self.model)

    def repetitions(self) -> MixtureReport:
        return MixtureReport.of(self.mixture, self.steps.total_tokens, self.steps.sequence_length)

    def datamodule(self, rank: int = 0, rewinds: Sequence[Rewind] = ()) -> MixtureData:
        """The samples of data-parallel rank `rank`."""
        mixture = self.mixture
        if rewinds and self.boundaries:  # batches were passed over: a change stays at its number of tokens
            of = self.data, self.manifest, self.shards, self.steps, self.seed
            mixture = build_mixture(*of, lambda _: None, self.boundaries, rewinds)
        parts = self.data, self.manifest, self.shards, mixture, self.steps, self.integrity
        return MixtureData(*parts, rank, self.boundaries, rewinds)

    def checkpoint_identity(self) -> dict[str, Any]:
        """What every checkpoint of the run says of itself."""
        return {
            "model": model_to_meta(self.model),
            "batch_tokens": self.steps.batch_tokens,
            "seed": self.seed,
            **{f"{name}_fingerprint": value for name, value in self.fingerprints.items()},
        }


def prepare(
    model: ModelConfig,
    data: DataConfig,
    optim: OptimConfig,
    seed: int,
    world: int = 1,
    changes: Mapping[str, Change] | None = None,
    say: Callable[[str], None] = print,
) -> Setup:
    """A run whose batch is cut in `world` parts; `say` is told what is done to the data on the way.

    Raises `UserError` where the parts do not fit: vocabulary, sequence length, batch, warm-up, too few tokens.
    """
    shards = find_shards(data, say)
    integrity = Integrity(shards)
    manifest = integrity.manifest
    if model.vocab_size not in (None, manifest.vocab_size):
        raise UserError(
            f"the model's vocabulary is {model.vocab_size}, the shards' tokenizer has {manifest.vocab_size} pieces: "
            f"set data.vocab_size={manifest.vocab_size}"
        )
    if data.sequence_length > model.max_sequence_length:
        raise UserError(
            f"data.sequence_length={data.sequence_length} is longer than the model's "
            f"model.max_sequence_length={model.max_sequence_length}: shorten the one or raise the other"
        )
    steps = plan_steps(data, world)
    check_warmup(optim, steps.total)
    boundaries, schedule = plan_changes(changes or {}, optim, steps)
    mixture = build_mixture(data, manifest, shards, steps, seed, say, boundaries)
    model = dataclasses.replace(model, vocab_size=manifest.vocab_size)
    return Setup(shards, manifest, model, data, steps, mixture, seed, integrity, boundaries, schedule)


def fits(job: Any, ranks: int) -> None:
    """What `prepare` and the mesh will refuse of a TrainJob on so many processes, as far as it is known without the
    shards: a launcher asks on the login node. Raises `UserError`."""
    shape = degrees(job.parallel, ranks)
    steps = plan_steps(job.data, shape.data)
    check_warmup(job.optim, steps.total)
    plan_changes(job.changes, job.optim, steps)
    if job.model.vocab_size is not None:
        check_tensor(job.model, shape.tensor, job.data.sequence_length)


def look_for(job: Any, unless: str) -> None:
    """Whether what a run reads is on this machine: a launcher asks before it submits. Raises `UserError`, whose line
    ends with `unless`. A fine-tuning's data.path may be the name of a set elsewhere."""
    if isinstance(job.data, DataConfig):
        pack, text = job.data.path, job.data.input
        if pack is not None and "://" not in pack and not (Path(pack) / MANIFEST).is_file():
            what = "holds no packed shards" if Path(pack).is_dir() else "is not there"
            raise UserError(f"data.path={pack} {what}: packtrain pack makes them; {unless}")
        if text is not None and "://" not in text and not Path(text).exists():
            raise UserError(f"input={text} is not there: give a file or folder of text; {unless}")
    first = job.init_from
    if first is not None and not Path(first).exists() and not (Path(job.run_dir) / "config.yaml").exists():
        raise UserError(f"init_from={first} is not there: give a run's folder or a checkpoint; {unless}")


def find_shards(data: DataConfig, say: Callable[[str], None] = print) -> Path:
    """The pack that `data` names, or the one made (once) from the user's own text."""
    if data.path is not None:
        return local_pack(data.path, limit=int(data.cache_gib * 2**30))
    from packtrain.data.text_pipeline import ensure_text_shards  # the tokenizer's training, needed for data=text alone

    return ensure_text_shards(data, say=say)
