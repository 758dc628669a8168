"""How long a save holds training up, and how long it takes until it is committed, by size

    whole   one process, no mesh: written before training goes on
    sync    sharded over the processes here (on CUDA: one), waited for
    async   the same, in the background: training waits for the copy alone and makes steps meanwhile

A checkpoint is weights and two moments, 12 bytes a parameter, hashed, synced to disk and renamed. `stall` is the time
without training, `total` the time to the commit, `steps_meanwhile` how many steps were trained before it; `step` is one
without a save. The kinds take turns, round by round; medians. TMPDIR says on which disk.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file

from benchmarks import common
from benchmarks.processes import on_ranks
from packtrain.checkpoint.asynchronous import Saver
from packtrain.checkpoint.directory import commit
from packtrain.checkpoint.load import WEIGHTS
from packtrain.checkpoint.sharded import MODEL, MOMENTS
from packtrain.model.config import ModelConfig, parameter_count
from packtrain.model.engine import Engine
from packtrain.model.initialisation import initialise
from packtrain.model.llama import Llama
from packtrain.parallel.config import Degrees
from packtrain.parallel.fsdp import fill, shard_model
from packtrain.parallel.mesh import make_mesh
from packtrain.training.optimiser import build_optimiser
from packtrain.training.schedule import OptimConfig

BASE = ModelConfig(dim=256, n_layers=4, n_heads=4, vocab_size=4096, max_sequence_length=256)
SIZES = {
    "5m": BASE,
    "24m": replace(BASE, dim=512, n_layers=6, n_heads=8),
    "96m": replace(BASE, dim=896, n_layers=9, n_heads=14),
}
ON_CUDA = {"1b": ModelConfig(dim=2048, n_layers=16, n_heads=16, vocab_size=32_000, max_sequence_length=2048)}
TINY = {"tiny": replace(BASE, dim=32, n_layers=2, n_heads=2, vocab_size=64, max_sequence_length=32)}
OPTIM = OptimConfig(learning_rate=1e-4, warmup_steps=0)
Seconds = dict[str, list[float]]


def device_type() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _steps(model: Llama, config: ModelConfig, sequences: int) -> tuple[Callable[[], None], torch.optim.Optimizer]:
    optimiser = build_optimiser(model, OPTIM)
    generator = torch.Generator().manual_seed(0)
    size = (sequences, config.max_sequence_length + 1)
    tokens = torch.randint(3, config.vocabulary, size, generator=generator).to(device_type())

    def step() -> None:
        model.loss(tokens[:, :-1], tokens[:, 1:]).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if device_type() == "cuda":
            torch.cuda.synchronize()

    return step, optimiser


def _timed(action: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def sharded(config: ModelConfig, folder: str, rounds: int, sequences: int) -> Seconds:
    """On every rank: seconds of steps, of synchronous saves, of asynchronous ones until training and until commit."""
    mesh = make_mesh(Degrees(1, dist.get_world_size(), 1), device_type())
    model = shard_model(config, torch.bfloat16 if device_type() == "cuda" else torch.float32, Engine(), mesh)
    model.to_empty(device=device_type())
    fill(model, 1, mesh)
    step, optimiser = _steps(model, config, sequences)
    step()
    saver = Saver()
    found: Seconds = {name: [] for name in ("step", "sync", "stall", "total", "steps")}

    def tensors() -> dict[str, torch.Tensor]:
        named = dict(model.named_parameters())
        moments = {p + n: optimiser.state[w][p[:-1]] for p in MOMENTS for n, w in named.items()}
        return {**{MODEL + name: weight.detach() for name, weight in named.items()}, **moments}

    def start(name: str) -> None:
        saver.start(Path(folder) / name, tensors(), {}, {"step": 1, "kind": "sharded"})

    def together(name: str) -> None:
        start(name)
        saver.wait()

    for number in range(rounds + 1):
        found["step"].append(_timed(step))
        found["sync"].append(_timed(lambda number=number: together(f"sync-{number}")))
        begin = time.perf_counter()
        found["stall"].append(_timed(lambda number=number: start(f"async-{number}")))
        made = 0
        while _any(not (Path(folder) / f"async-{number}").exists()):
            step()
            made += 1
        saver.wait()
        found["total"].append(time.perf_counter() - begin)
        found["steps"].append(made)
        if dist.get_rank() == 0:
            for kind in ("sync", "async"):
                shutil.rmtree(Path(folder) / f"{kind}-{number}")
    return {name: seconds[1:] for name, seconds in found.items()}  # the first pays for what is made once


def _any(flag: bool) -> bool:
    told = torch.tensor(int(flag), device=device_type())
    dist.all_reduce(told, dist.ReduceOp.MAX)
    return bool(told)


def whole(config: ModelConfig, folder: str, rounds: int) -> list[float]:
    """Seconds of saves of one process: weights as safetensors, moments by torch."""
    model = initialise(Llama(config, torch.float32, Engine()), 1)
    moments = {name: torch.zeros(2, *weight.shape) for name, weight in model.named_parameters()}

    def write(into: Path) -> None:
        save_file({name: weight.detach() for name, weight in model.named_parameters()}, into / WEIGHTS)
        torch.save(moments, into / "state.pt")

    path = Path(folder) / "whole"  # each replaces the one before
    return [_timed(lambda: commit(path, write, {"step": 1})) for _ in range(rounds + 1)][1:]


def measure(name: str, config: ModelConfig, rounds: int, world: int, sequences: int) -> list[dict[str, Any]]:
    """Three rows of one size."""
    size = 12 * parameter_count(config)
    with tempfile.TemporaryDirectory() as folder:
        alone = whole(config, folder, rounds)
        found = on_ranks(world, sharded, config, folder, rounds, sequences, device=device_type())
    step = statistics.median(found["step"])
    rows = []
    for kind, stall, total in (
        ("whole", alone, alone), ("sync", found["sync"], found["sync"]), ("async", found["stall"], found["total"]),
    ):  # fmt: skip
        middle = statistics.median(stall)
        row = {
            "size": name, "save": kind, "processes": 1 if kind == "whole" else world, "checkpoint_bytes": size,
            "stall_seconds": middle, "total_seconds": statistics.median(total),
            "mb_per_second": size / 1e6 / statistics.median(total), "step_seconds": None, "stall_in_steps": None,
        }  # fmt: skip
        if kind != "whole":
            row |= {"step_seconds": step, "stall_in_steps": middle / step}
        if kind == "async":
            row["steps_meanwhile"] = statistics.median(found["steps"])
        rows.append(row)
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    arguments = common.parse(common.parser(__doc__), argv)
    torch.set_num_threads(1)
    cuda = device_type() == "cuda"
    sizes = TINY if arguments.quick else ON_CUDA if cuda else SIZES
    rounds, world, sequences = arguments.rounds or (1 if arguments.quick else 5), 1 if cuda else 2, 4 if cuda else 1
    rows = [row for name, config in sizes.items() for row in measure(name, config, rounds, world, sequences)]
    print(common.table(rows))
    common.write_results("checkpoint", rows, arguments, sequences=sequences)


if __name__ == "__main__":
    main()
