"""a checked run → its model with the first weights, on one device or a mesh; the lines that a start prints"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from packtrain.checkpoint.carry_on import first_weights
from packtrain.data.manifest import TOKENIZER
from packtrain.data.masked import is_masked
from packtrain.jobs.base import base_folder, open_base
from packtrain.model.compute import DTYPES, Precision
from packtrain.model.config import parameter_count
from packtrain.model.engine import Engine
from packtrain.model.initialisation import initialise
from packtrain.model.llama import Llama
from packtrain.model.lora import add_adapters
from packtrain.parallel.fsdp import fill, shard_model, take
from packtrain.training.parallel import Parallel
from packtrain.training.setup import Setup
from packtrain.training.tuning import Tuning


class Started(Protocol):
    """What of the job is needed here."""

    @property
    def run_dir(self) -> str: ...
    @property
    def precision(self) -> Precision: ...
    @property
    def init_from(self) -> str | None: ...
    @property
    def tuning(self) -> Tuning | None: ...
    @property
    def seed(self) -> int: ...


def build(job: Started, setup: Setup, engine: Engine, device: torch.device, parallel: Parallel, new: bool) -> Llama:
    """The model, with its first weights where the run is new; of LoRA the frozen ones always."""
    lora = job.tuning is not None and job.tuning.lora.rank > 0
    weights = _first(job, setup, parallel, lora) if lora or (new and job.init_from is not None) else None
    if parallel.mesh is None:
        model = Llama(setup.model, DTYPES[job.precision], engine)
        if weights is not None:
            fill_whole(model, weights)
        elif new:
            initialise(model, job.seed)
        return add_adapters(model, job.tuning.lora, job.seed) if job.tuning is not None and lora else model
    model = shard_model(setup.model, DTYPES[job.precision], engine, parallel.mesh)
    model.to_empty(device=device)
    if weights is not None:
        return take(model, weights, parallel.mesh)
    return fill(model, job.seed, parallel.mesh) if new else model


def _first(job: Started, setup: Setup, parallel: Parallel, lora: bool) -> Mapping[str, Tensor]:
    """What a run begins with, by name; a fine-tuning may begin with another program's folder."""
    if job.tuning is None:
        source = Path(job.init_from or "")
        return parallel.world.agree(lambda: first_weights(source, setup.model, setup.fingerprints["tokenizer"]))
    where = str(base_folder(Path(job.run_dir))) if lora else job.init_from or ""
    return parallel.world.agree(lambda: open_base(where, str(setup.shards / TOKENIZER)).weights())


@torch.no_grad()
def fill_whole(model: Llama, weights: Mapping[str, Tensor]) -> None:
    """Every parameter from `weights`, one at a time: a large model never stands in memory twice."""
    for name, parameter in model.named_parameters():
        parameter.copy_(weights[name])


def announce(job: Started, setup: Setup, start: int, engine: str, parallel: Parallel) -> None:
    """Parameters, steps, engine, mesh, and how often each domain is repeated."""
    steps = setup.steps
    verb = f"continues after step {start}" if start else "starts"
    print(
        f"{job.run_dir} {verb}: {parameter_count(setup.model):,} parameters, {steps.total} steps of "
        f"{steps.batch_tokens:,} tokens ({steps.accumulation} × {steps.micro_batch} sequences of "
        f"{steps.sequence_length}), {job.precision}"
    )
    if not setup.model.layer_by_hand and "recompute none" in engine:
        engine += " (autograd: the backward by hand is of LLaMA's layer)"
    if parallel.mesh is not None:
        engine += f", mesh {parallel.mesh.degrees} (replicate × shard × tensor)"
    if is_masked(setup.manifest):
        print(f"  the loss is the responses' alone; {setup.trained_parameters(job.tuning):,} parameters are trained")
    for line in (engine, *setup.repetitions().lines(), *(one.line() for one in setup.boundaries)):
        print(f"  {line}")
