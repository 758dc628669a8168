"""`slurm`: a cluster of two nodes for the whole session;  `slurm.train(…)`: the command as typed on its login node"""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from packtrain.cli import main
from tests.slurm import cluster
from tests.tiny import tiny_pack

ROOT = Path(__file__).parents[2]


class Slurm:
    """Where the tests submit. Every wait is for a condition; its limit is generous, for machines that do other work."""

    def __init__(self, conf: Path, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.conf, self.base, self.runs, self.capsys = conf, base, base / "runs", capsys

    def train(self, name: str, *overrides: str, steps: int = 60) -> int:
        """Submits a run of `steps` steps, as many processes as the overrides say, and returns the job's number."""
        printed = self._type(name, *overrides, steps=steps)
        match = re.search(r"submitted job (\d+)", printed)
        assert match, printed
        return int(match[1])

    def script(self, name: str, *overrides: str, steps: int = 60) -> Path:
        """The script of a dry run, as a file."""
        path = self.base / f"{name}.sh"
        path.write_text(self._type(name, *overrides, "hydra.launcher.dry_run=true", steps=steps))
        return path

    def _type(self, name: str, *overrides: str, steps: int) -> str:
        self.capsys.readouterr()
        settings = (
            f"name={name}", f"runs_dir={self.runs}", "data=packed", f"data.path={self.base / 'pack'}",
            "data.sequence_length=32", "data.micro_batch=4", "data.batch_tokens=256", f"data.tokens={256 * steps}",
            "model.dim=32", "model.n_heads=2", "model.ffn_multiple_of=32", "optim.warmup_steps=5",
            "callbacks.checkpointing.interval_tokens=1e9", "log_interval_tokens=256", "~callbacks.domain_loss",
            "~callbacks.carbon", "loggers=csv", "device=cpu", "cluster=slurm", "hydra.launcher.gpus_per_node=null",
            "+callbacks.samples._target_=tests.slurm.inside.Samples", "+callbacks.samples.run_dir=${run_dir}",
        )  # fmt: skip
        multi = ["-m"] if any("," in o for o in overrides if not re.search(r"[\[{]", o)) else []
        code = main(["train", *multi, *settings, *overrides])
        printed = self.capsys.readouterr()
        assert code == 0, printed.err
        return printed.out

    def ask(self, *command: str) -> str:
        return cluster.ask(self.conf, *command)

    def state(self, job: int, index: int = 0) -> str:
        return self._field(job, index, "JobState")

    def restarts(self, job: int, index: int = 0) -> int:
        return int(self._field(job, index, "Restarts"))

    def node(self, job: int, index: int = 0) -> str:
        return self._field(job, index, "NodeList")

    def kill_rank(self, name: str, rank: int) -> None:
        """SIGKILL to the process of one rank, by the id it has in its environment."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_bytes().split(b"\0")
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            ours = f"name={name}".encode() in command and b"-m\0packtrain" in command
            if ours and f"SLURM_PROCID={rank}".encode() in environment:
                os.kill(int(folder.name), signal.SIGKILL)
                return
        raise AssertionError(f"no process of rank {rank}")

    def _field(self, job: int, index: int, name: str) -> str:
        match = re.search(rf"\b{name}=(\S+)", self.ask("scontrol", "show", "job", f"{job}_{index}"))
        assert match, f"SLURM does not know job {job}_{index}"
        return match[1]

    def log(self, name: str) -> str:
        return "\n".join(path.read_text() for path in sorted((self.runs / name).glob("slurm/*.log")))

    def step(self, name: str) -> int:
        """The last logged step."""
        try:
            return int((self.runs / name / "metrics.csv").read_text().splitlines()[-1].split(",")[0])
        except (OSError, ValueError, IndexError):
            return 0

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 240) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                logs = "\n".join(path.read_text()[-3000:] for path in self.runs.glob("**/slurm/*.log"))
                raise AssertionError(f"waited {seconds} s for {what}\n{self.ask('squeue', '--states=all')}\n{logs}")
            time.sleep(0.2)

    def end(self, job: int, index: int = 0, seconds: float = 240) -> str:
        """Waits for the end of an array task; returns its state."""
        ends = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
        self.until(lambda: self.state(job, index) in ends, f"the end of job {job}_{index}", seconds)
        return self.state(job, index)


@pytest.fixture(scope="session")
def nodes() -> Iterator[Path]:
    """The running cluster's slurm.conf."""
    if not cluster.installed() and cluster.allowed():
        cluster.install()
    if not cluster.installed():
        pytest.skip("no SLURM here: apt install slurmctld slurmd slurm-client munge, or PACKTRAIN_SLURM_TEST=1 as root")
    folder = Path(tempfile.mkdtemp(prefix="packtrain-slurm-"))  # short: a socket's path has 107 characters
    try:
        yield cluster.up(folder)
    finally:
        cluster.down(folder)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slurm")
    tiny_pack(folder / "pack")
    return folder


@pytest.fixture
def slurm(
    nodes: Path, base: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Slurm]:
    for key, value in {**cluster.environment(nodes), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")  # both nodes are this machine, and their names are SLURM's alone
    yield Slurm(nodes, base, capsys)
    cluster.cancel_all(nodes)
