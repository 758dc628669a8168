"""What every mesh sends: bytes a token of a training step, by real processes, by the dry run, and by theory

    real     gloo between processes of this machine; each collective's message is counted as it is made
    fake     what `packtrain train dry_run=true` counts for the same mesh and model
    theory   of one rank, with s shards, t tensor ranks, r replicas, P parameters on a tensor rank, z bytes a number:
             FSDP      2 (s−1)/s P z a micro-batch, gathered for forward and backward     arXiv 1910.02054, §7
                       (s−1)/s 4 P a step, fp32 gradients reduced
             HSDP      2 (r−1)/r 4 P/s a step, the shards' gradients around the replicas
             tensor    (10 L + 4) (t−1)/t B T C z a micro-batch: in each of L layers a gather and a scatter twice
                       forward, twice backward, and two more gathers of what was not kept (arXiv 2205.05198, §4.2.2);
                       one of each for the embedding and the loss

`bytes_per_token` adds up all ranks and divides by the step's tokens; a ring's gather over n ranks sends (n−1)/n of the
whole from each. `real_over_theory` above 1 is what the theory leaves out: norms, sums of the loss, padding.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks import common
from benchmarks.processes import on_ranks
from packtrain.data.config import DataConfig
from packtrain.estimate.cluster import ClusterConfig
from packtrain.jobs.dry_run import count_one_step, dry_run
from packtrain.jobs.train import TrainJob
from packtrain.model.compute import DTYPES, Precision
from packtrain.model.config import ModelConfig, parameter_count
from packtrain.model.engine import Engine
from packtrain.parallel.config import Degrees, ParallelConfig
from packtrain.parallel.fsdp import fill, shard_model
from packtrain.parallel.mesh import make_mesh
from packtrain.training.optimiser import build_optimiser
from packtrain.training.schedule import OptimConfig
from packtrain.training.steps import Steps, plan_steps

SHAPE = (ModelConfig(dim=128, n_layers=4, n_heads=8, vocab_size=1024, max_sequence_length=128), 2, 2)
TINY = (ModelConfig(dim=64, n_layers=3, n_heads=4, vocab_size=128, max_sequence_length=32, ffn_multiple_of=32), 2, 2)
MESHES = {
    2: (Degrees(1, 2, 1), Degrees(1, 1, 2)),
    4: (Degrees(1, 4, 1), Degrees(1, 1, 4), Degrees(1, 2, 2), Degrees(2, 2, 1)),
}
OPTIM = OptimConfig(learning_rate=1e-3, warmup_steps=0)
Shape = tuple[ModelConfig, int, int]  # the model; sequences of a micro-batch; micro-batches a step
Bytes = dict[str, int]


def data_of(shape: Shape, degrees: Degrees) -> DataConfig:
    """The batch of `shape` on each data-parallel rank."""
    config, micro, accumulation = shape
    batch = micro * accumulation * config.max_sequence_length * degrees.data
    return DataConfig(None, {}, config.max_sequence_length, config.vocab_size, batch, batch, micro)


def real(shape: Shape, meshes: Sequence[Degrees], precision: Precision) -> list[Bytes]:
    """On this rank of as many processes as each mesh has: a step's counts."""
    found = []
    for degrees in meshes:
        mesh = make_mesh(degrees, "cpu")
        model = shard_model(shape[0], DTYPES[precision], Engine("sdpa"), mesh)
        model.to_empty(device="cpu")
        optimiser = build_optimiser(fill(model, 1, mesh), OPTIM)
        steps = plan_steps(data_of(shape, degrees), degrees.data)
        found.append(as_row(count_one_step(model, optimiser, OPTIM, steps, mesh)))
    return found


def fake(shape: Shape, degrees: Degrees, precision: Precision) -> Bytes:
    """The same by the dry run of one process."""
    job = TrainJob(
        "scaling", "scaling", shape[0], data_of(shape, degrees), OPTIM, ClusterConfig(gpus_per_node=degrees.world),
        precision=precision, attention="sdpa", parallel=ParallelConfig(degrees.tensor, degrees.replicate),
    )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        return as_row(dry_run(job))


def as_row(counted: Any) -> Bytes:
    states = {name: getattr(counted, name) for name in ("parameters", "gradients", "optimizer", "activations")}
    return {**states, **dict(counted.sent), "sent": sum(counted.sent.values())}


def theory(config: ModelConfig, degrees: Degrees, steps: Steps, size: int) -> float:
    """Bytes that one rank sends in a step; the formulas above."""
    r, s, t = degrees.replicate, degrees.shard, degrees.tensor
    norms = (2 * config.n_layers + 1) * config.dim
    mine = (parameter_count(config) - norms) / t + norms
    tokens = steps.micro_batch * steps.sequence_length
    gather = 2 * steps.accumulation * (s - 1) / s * mine * size
    reduce = (s - 1) / s * 4 * mine + 2 * (r - 1) / r * 4 * mine / s
    tensor = steps.accumulation * (10 * config.n_layers + 4) * (t - 1) / t * tokens * config.dim * size
    return gather + reduce + tensor


def measure(shape: Shape, worlds: Sequence[int], precision: Precision) -> list[dict[str, Any]]:
    """A row for each mesh of `worlds` processes."""
    rows = []
    for world in worlds:
        counted = on_ranks(world, real, shape, MESHES[world], precision)
        for degrees, row in zip(MESHES[world], counted, strict=True):
            steps = plan_steps(data_of(shape, degrees), degrees.data)
            expected = theory(shape[0], degrees, steps, DTYPES[precision].itemsize)
            again = fake(shape, degrees, precision)
            a_token = degrees.world / steps.batch_tokens
            rows.append({
                "mesh": str(degrees), "precision": precision, "batch_tokens": steps.batch_tokens,
                "sent_per_token": row["sent"] * a_token, "theory_per_token": expected * a_token,
                "real_over_theory": row["sent"] / expected, "dry_run_over_real": again["sent"] / row["sent"],
                "real": row, "dry_run": again,
            })  # fmt: skip
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    arguments = common.parse(common.parser(__doc__), argv)
    torch.set_num_threads(1)
    shape, worlds = (TINY, (2,)) if arguments.quick else (SHAPE, (2, 4))
    precisions: tuple[Precision, ...] = ("fp32",) if arguments.quick else ("fp32", "bf16")
    rows = [row for precision in precisions for row in measure(shape, worlds, precision)]
    print(common.table([{k: v for k, v in row.items() if not isinstance(v, dict)} for row in rows]))
    config, micro, accumulation = shape
    said = {"parameters": parameter_count(config), "dim": config.dim, "layers": config.n_layers}
    said |= {"sequence": config.max_sequence_length, "micro_batch": micro, "accumulation": accumulation}
    common.write_results("scaling", rows, arguments, shape=said)


if __name__ == "__main__":
    main()
