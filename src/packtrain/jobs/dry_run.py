"""a whole cluster on one laptop: the mesh on PyTorch's fake backend, the model on fake tensors, one step, counted

    packtrain train model=65b data=llama cluster=llama_paper dry_run=true

Nothing is allocated and nothing is sent, but the real wrapping, forward, backward, clipping and optimiser run: what it
prints is counted, not estimated. `packtrain plan` estimates; the two must agree.
"""

from __future__ import annotations

import os
import resource
import time
import warnings
from typing import Any

import torch
import torch.distributed as dist
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.testing._internal.distributed.fake_pg import FakeStore

from packtrain.errors import UserError
from packtrain.model.compute import DTYPES
from packtrain.model.config import parameter_count
from packtrain.model.engine import Engine
from packtrain.parallel.config import check_tensor, degrees
from packtrain.parallel.counting import StepBytes, count_step
from packtrain.parallel.fsdp import last_micro_batch, shard_model
from packtrain.parallel.mesh import Mesh, make_mesh
from packtrain.parallel.norm import clip, global_norm_and_loss
from packtrain.training.optimiser import build_optimiser
from packtrain.training.steps import Steps, plan_steps

GIB = 2**30


def dry_run(job: Any) -> StepBytes:
    """Counts one step of rank 0 of `job` (a TrainJob) on `job.cluster`, prints it and returns it.

    Raises `UserError` as the real run would where mesh, batch and model do not fit together.
    """
    begin = time.monotonic()
    warnings.filterwarnings("ignore", message=".*returned a view tensor.*")
    world = job.cluster.gpus
    shape = degrees(job.parallel, world)
    if job.model.vocab_size is None:
        raise UserError("a dry run reads no shards and does not know the vocabulary: give data.vocab_size=32000")
    check_tensor(job.model, shape.tensor, job.data.sequence_length)
    steps = plan_steps(job.data, shape.data)
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=world)
    try:
        counted = _count(job, steps, make_mesh(shape, "cpu"))
    finally:
        dist.destroy_process_group()
    print("\n".join(report(job, shape, steps, counted)))
    print(
        f"counted in {time.monotonic() - begin:.0f} s, {_peak_gib():.2f} GiB of this machine's memory; nothing was run"
    )
    return counted


def _count(job: Any, steps: Steps, mesh: Mesh) -> StepBytes:
    engine = Engine("sdpa", job.recompute)  # compiled or not, and by which kernel, changes none of these bytes
    model = shard_model(job.model, DTYPES[job.precision], engine, mesh)  # on the meta device
    with FakeTensorMode(allow_non_fake_inputs=True):
        model.to_empty(device="cpu")
        optimiser = build_optimiser(model, job.optim)
        return count_one_step(model, optimiser, job.optim, steps, mesh, job.parallel.accumulate_sharded)


def count_one_step(
    model: Any, optimiser: torch.optim.Optimizer, optim: Any, steps: Steps, mesh: Mesh, every: bool = False
) -> StepBytes:
    """One step of `steps` on tokens that mean nothing."""
    tokens = torch.zeros(steps.micro_batch, steps.sequence_length + 1, dtype=torch.int64)
    told = torch.zeros(())

    def micro_step(last: bool) -> torch.Tensor:
        last_micro_batch(model, last or every)
        return model.loss(tokens[:, :-1], tokens[:, 1:]) / steps.accumulation

    def after_backward() -> None:
        norm, _, _ = global_norm_and_loss(model, told, mesh)
        clip(model, optim.clip, optim.clip_at, norm)

    return count_step(model, optimiser, micro_step, steps.accumulation, after_backward)


def report(job: Any, shape: Any, steps: Steps, counted: StepBytes) -> list[str]:
    """The table that is printed."""
    whole = 4 * parameter_count(job.model)
    cut = shape.shard * shape.tensor
    total = counted.parameters + counted.gradients + counted.optimizer + counted.activations
    rows = [
        (
            "mesh",
            str(shape),
            f"replicate × shard × tensor = {shape.world:,} ranks, GPU {job.cluster.gpu or 'not named'}",
        ),
        ("step", f"{steps.batch_tokens:,} tokens", f"{steps.accumulation} × {steps.micro_batch} sequences a rank"),
        ("parameters", _gib(counted.parameters), f"fp32 shards of {_gib(whole)}; 1/{cut} is {_gib(whole / cut)}"),
        ("gradients", _gib(counted.gradients), "fp32 shards"),
        ("optimizer", _gib(counted.optimizer), "Adam's two moments, fp32 shards"),
        ("activations", _gib(counted.activations), f"saved for one micro-batch's backward, recompute={job.recompute}"),
        ("together", _gib(total), "beside the gathered layers, buffers and the allocator's fragments"),
    ]
    for name, size in sorted(counted.sent.items()):
        rows.append((name, _gib(size), "sent by each rank in one step"))
    rows.append(("sent", _gib(sum(counted.sent.values())), f"each rank, each step, {job.precision}"))
    wide = max(len(value) for _, value, _ in rows)
    return [f"{name:15} {value:>{wide}}   {remark}" for name, value, remark in rows]


def _gib(size: float) -> str:
    return f"{size / GIB:,.3f} GiB" if size >= GIB / 100 else f"{size / 2**20:,.3f} MiB"


def _peak_gib() -> float:
    scale = 1 if os.uname().sysname == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / GIB
