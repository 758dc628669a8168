"""`train(…)`: the command as its user types it, in this process: exit code, what it printed, where it ran"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from packtrain.cli import main
from packtrain.data.executors import local
from tests.tiny import tiny_pack


@dataclass
class Outcome:
    code: int
    out: str
    err: str
    run_dir: Path


@pytest.fixture(autouse=True, scope="session")
def no_workers_unasked() -> Iterator[None]:
    """Preparing and packing stay in the test's process, where starting others would cost more than the work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "cores", lambda: 0)
        yield


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return tiny_pack(tmp_path / "pack")


@pytest.fixture
def train(tmp_path: Path, pack: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """20 steps of a 25 000-parameter model in runs/r; later arguments override earlier ones."""

    def run(*overrides: str, name: str = "r") -> Outcome:
        capsys.readouterr()
        settings = {
            "runs_dir": str(tmp_path / "runs"), "data": "packed", "data.path": str(pack), "data.sequence_length": "32",
            "data.micro_batch": "4", "data.batch_tokens": "256", "data.tokens": "5120", "model.dim": "32",
            "model.n_heads": "2", "model.ffn_multiple_of": "32", "optim.warmup_steps": "2",
            "callbacks.checkpointing.interval_tokens": "1280",
        }  # fmt: skip
        plain = [o for o in overrides if o.split("=")[0] not in settings]
        settings |= dict(o.split("=", 1) for o in overrides if o.split("=")[0] in settings)
        code = main(["train", f"name={name}", *(f"{k}={v}" for k, v in settings.items()), *plain])
        printed = capsys.readouterr()
        return Outcome(code, printed.out, printed.err, tmp_path / "runs" / name)

    return run
