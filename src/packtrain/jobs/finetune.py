"""a model + instructions + template → rows of prompts and responses → the run that `packtrain train` would make of them

Everything of a run is training's own: steps, meters, checkpoints, the exact resume. What is added here is what it
begins with, its data, which targets count, and LoRA.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packtrain.data.config import DataConfig
from packtrain.data.instructions.config import InstructionConfig
from packtrain.data.instructions.shards import ensure_instruction_shards
from packtrain.data.manifest import load_manifest
from packtrain.errors import UserError
from packtrain.estimate.cluster import ClusterConfig
from packtrain.jobs import train
from packtrain.jobs.base import base_folder, open_base
from packtrain.model.attention_backends.choose import AttentionName
from packtrain.model.compute import Precision
from packtrain.model.engine import Recompute
from packtrain.model.lora_config import LoraConfig
from packtrain.parallel.config import ParallelConfig
from packtrain.tokenizer.template import ChatTemplate
from packtrain.training.schedule import OptimConfig
from packtrain.training.tuning import Tuning

MOST_ROWS, LEAST_STEPS = 64, 8  # of a batch that nobody gave: at most so many rows, and so many steps in an epoch


@dataclass(frozen=True)
class FinetuneJob:
    """`init_from`: a run, a checkpoint, or a folder of Hugging Face's or Meta's, whose model is taken as it is."""

    name: str
    run_dir: str
    init_from: str
    data: InstructionConfig
    template: ChatTemplate
    optim: OptimConfig
    cluster: ClusterConfig
    lora: LoraConfig = LoraConfig()
    runs_dir: str = "runs"
    tokenizer: str | None = None
    precision: Precision = "fp32"
    attention: AttentionName = "auto"
    recompute: Recompute = "manual"
    compile: bool = False
    parallel: ParallelConfig = ParallelConfig()
    device: str = "auto"
    seed: int = 1
    log_interval_tokens: float | None = None
    profile: bool = False
    quiet: bool = False
    smoke: bool = False
    callbacks: dict[str, Any] = field(default_factory=dict)
    loggers: dict[str, Any] = field(default_factory=dict)
    composed: dict[str, Any] = field(default_factory=dict)


def run(job: FinetuneJob) -> None:
    """Start, continue or report the run. Raises `UserError` for what the user can mend, before anything is written."""
    train.run(as_training(job))


def as_training(job: FinetuneJob) -> train.TrainJob:
    """The run as training knows it; the instructions are packed where they are not yet."""
    kept = base_folder(Path(job.run_dir))
    given = str(kept) if kept.exists() and not Path(job.init_from).exists() else job.init_from
    base = open_base(given, job.tokenizer)
    length = job.data.sequence_length or base.length
    if length > base.config.max_sequence_length:
        raise UserError(
            f"data.sequence_length={length} is longer than the model's {base.config.max_sequence_length}: shorten it"
        )
    say = (lambda _: None) if job.quiet else print
    pack = ensure_instruction_shards(job.data, base.tokenizer, job.template, length, say=say)
    return train.TrainJob(
        name=job.name, run_dir=job.run_dir, model=base.config, data=data_of(job.data, pack, length), optim=job.optim,
        cluster=job.cluster, runs_dir=job.runs_dir, precision=job.precision, attention=job.attention,
        recompute=job.recompute, compile=job.compile, parallel=job.parallel, device=job.device, seed=job.seed,
        log_interval_tokens=job.log_interval_tokens, profile=job.profile, quiet=job.quiet, smoke=job.smoke,
        init_from=job.init_from, callbacks=job.callbacks, loggers=job.loggers, composed=job.composed,
        tuning=Tuning(job.template, job.lora),
    )  # fmt: skip


def data_of(config: InstructionConfig, pack: Path, length: int) -> DataConfig:
    """The rows as training's data; `epochs` as tokens."""
    rows = load_manifest(pack).settings["made"]["rows"]
    batch = config.batch_tokens or length * max(1, min(MOST_ROWS, rows // LEAST_STEPS))
    tokens = max(batch, math.ceil(config.epochs * rows * length))
    return DataConfig(
        path=str(pack), weights={}, sequence_length=length, vocab_size=None, tokens=tokens, batch_tokens=batch,
        micro_batch=config.micro_batch, workers=config.workers, document_mask=True,
    )  # fmt: skip
