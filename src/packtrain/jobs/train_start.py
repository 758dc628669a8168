"""a checked run → its model with the first weights, on one device or a mesh; the lines that a start prints"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch

from packtrain.checkpoint.carry_on import first_weights
from packtrain.model.compute import DTYPES, Precision
from packtrain.model.config import parameter_count
from packtrain.model.engine import Engine
from packtrain.model.initialisation import initialise
from packtrain.model.llama import Llama
from packtrain.parallel.fsdp import fill, shard_model, take
from packtrain.training.parallel import Parallel
from packtrain.training.setup import Setup


class Started(Protocol):
    """What of the job is needed here."""

    @property
    def run_dir(self) -> str: ...
    @property
    def precision(self) -> Precision: ...
    @property
    def init_from(self) -> str | None: ...
    @property
    def seed(self) -> int: ...


def build(job: Started, setup: Setup, engine: Engine, device: torch.device, parallel: Parallel, new: bool) -> Llama:
    """The model, with its first weights where the run is new."""
    source = Path(job.init_from) if new and job.init_from is not None else None
    if parallel.mesh is None:
        model = Llama(setup.model, DTYPES[job.precision], engine)
        if source is not None:
            model.load_state_dict(first_weights(source, setup.model, setup.fingerprints["tokenizer"]))
            return model
        return initialise(model, job.seed) if new else model
    model = shard_model(setup.model, DTYPES[job.precision], engine, parallel.mesh)
    model.to_empty(device=device)
    if source is not None:
        weights = parallel.world.agree(lambda: first_weights(source, setup.model, setup.fingerprints["tokenizer"]))
        return take(model, weights, parallel.mesh)
    return fill(model, job.seed, parallel.mesh) if new else model


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
    for line in (engine, *setup.repetitions().lines(), *(one.line() for one in setup.boundaries)):
        print(f"  {line}")
