"""a run's configuration → trained whole, and killed and resumed → losses, samples, RNG, weights: equal bit by bit?

    whole     steps 1 … n in one go
    killed    steps 1 … k, SIGKILL;  resumed from its last save: … n

Each leg is a process of its own (`jobs/verify_leg.py`), or as many as `processes` says, by torchrun.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from packtrain.callbacks.recorder import Record, read_records
from packtrain.checkpoint.directory import committed
from packtrain.checkpoint.load import read_weights
from packtrain.errors import Failure, UserError
from packtrain.training.checkpoint_io import DirectoryCheckpointIO

COLUMNS = {
    "samples": "sample order",
    "tokens": "tokens read",
    "loss": "loss",
    "grad_norm": "gradient norm",
    "rng": "RNG",
}


@dataclass(frozen=True)
class VerifyJob:
    run: str
    steps: int = 6
    processes: int | None = None
    keep: bool = False
    runs_dir: str = "runs"

    def __post_init__(self) -> None:
        if self.steps < 4 or self.steps % 2:
            raise UserError(f"steps={self.steps}: give an even number of at least 4: it is saved at every second")
        if self.processes is not None and self.processes < 1:
            raise UserError(f"processes={self.processes}: expected at least 1")


def run(job: VerifyJob) -> None:
    """Raises `Failure`, naming what differs, where the resumed run is not the uninterrupted one."""
    run_dir, named = Path(job.run), Path(job.runs_dir) / job.run
    if not run_dir.is_dir() and named.is_dir():  # a name, as other commands take it
        run_dir = named
    try:
        config = yaml.safe_load((run_dir / "config.yaml").read_text())
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"run={job.run}: no readable config.yaml there; give the folder of a run: runs/NAME") from error
    if not isinstance(config, dict) or not {"data", "callbacks"} <= config.keys():
        raise UserError(f"run={job.run}: its config.yaml is not that of a run; give the folder of a run: runs/NAME")
    total = -(-config["data"]["tokens"] // config["data"]["batch_tokens"])
    if job.steps > total:
        raise UserError(f"steps={job.steps}: the run has {total}; give an even number from 4 to {total}")
    parallel = config.get("parallel", {})
    processes = job.processes or parallel.get("tensor", 1) * parallel.get("replicate", 1)
    folder = run_dir / "verify.tmp"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    begin = time.monotonic()
    kill = job.steps // 2 + 1 - job.steps // 2 % 2  # an odd step: one after a save
    try:
        print(f"{run_dir}: {job.steps} steps without a stop", flush=True)
        _leg(run_dir, folder / "whole", job.steps, None, processes)
        print(f"{run_dir}: {kill} steps, then SIGKILL", flush=True)
        _leg(run_dir, folder / "killed", job.steps, kill, processes)
        print(f"{run_dir}: resumed, to step {job.steps}", flush=True)
        _leg(run_dir, folder / "killed", job.steps, None, processes)
        lines, found = compare(folder / "whole", folder / "killed", processes, kill)
        print("\n".join(lines))
        if found:
            raise Failure(f"{run_dir} does not resume exactly: {'; '.join(found[:3])}")
        print(f"{run_dir} resumes exactly: all of it is equal bit by bit ({time.monotonic() - begin:.0f} s)")
    finally:
        if not job.keep:
            shutil.rmtree(folder, ignore_errors=True)


def _leg(run_dir: Path, folder: Path, steps: int, kill: int | None, processes: int) -> None:
    program = ["-m", "packtrain.jobs.verify_leg", str(run_dir), str(folder), str(steps), str(kill or 0)]
    command = [sys.executable, *program]
    if processes > 1:
        rendezvous = ["--nproc-per-node", str(processes), "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
        command = [sys.executable, "-m", "torch.distributed.run", *rendezvous, *program]
    log = folder.with_suffix(".log")
    outer = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    environment = {key: value for key, value in os.environ.items() if key not in outer}
    with log.open("ab") as stream:
        code = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, env=environment).returncode
    if (code == 0) != (kill is None):
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        said = [line.removeprefix("packtrain: ") for line in lines if line.startswith("packtrain: ")]
        ended = f"exit code {code}, {''.join(lines[-1:])[:200]} (keep=true keeps its output, {log})"
        reason = (said or [ended])[-1]
        if kill is None:
            raise Failure(f"the trial of {run_dir} failed: {reason}")
        raise Failure(f"the trial of {run_dir} ended before it was killed: {reason}")


def compare(whole: Path, killed: Path, processes: int, kill: int) -> tuple[list[str], list[str]]:
    """(one line for each thing compared, what differs). Steps done twice, before and after the kill, must agree too."""
    lines: list[str] = []
    found: list[str] = []
    for column, name in COLUMNS.items():
        differing = []
        for rank in range(processes):
            expected = {record.step: record for record in read_records(whole, rank)}
            records = read_records(killed, rank)
            missing = expected.keys() - {record.step for record in records}
            differing += [f"step {step} is missing" for step in sorted(missing)]
            differing += [_difference(expected[r.step], r, column) for r in records if r.step in expected]
        differing = [text for text in differing if text]
        lines.append(f"  {name:14} {'equal' if not differing else 'DIFFERS: ' + differing[0]}")
        found += [f"{name}: {text}" for text in differing[:1]]
    twice = len(read_records(killed, 0)) - len({record.step for record in read_records(killed, 0)})
    weights, moments = (_tensors(path) for path in (whole, killed))
    names = [name for name in weights if name not in moments or not torch.equal(weights[name], moments[name])]
    lines.append(f"  {'weights':14} {f'{len(weights)} tensors equal' if not names else f'DIFFER: {names[0]}'}")
    found += [f"weights: {len(names)} of {len(weights)} tensors, the first is {names[0]}"] if names else []
    lines.append(f"  killed after step {kill}, {twice} steps done twice, {processes} process{'es' * (processes > 1)}")
    return lines, found


def _difference(expected: Record, found: Record, column: str) -> str:
    ours, theirs = getattr(found, column), getattr(expected, column)
    return "" if ours == theirs else f"at step {found.step} {ours} instead of {theirs}"


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Weights and moments of the last checkpoint."""
    path = committed(folder)[-1]
    adam: Any = DirectoryCheckpointIO({}).load_checkpoint(path)["optimizer_states"][0]["state"]
    moments = {f"moment {n} {key}": tensor for n, entry in adam.items() for key, tensor in entry.items()}
    return {**read_weights(path), **moments}
