"""One run on several processes: it trains, is stopped, and goes on on another mesh; checkpoints of either kind serve"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.distributed.launch import train
from tests.tiny import tiny_pack

CURVE = ("train/loss", "train/grad_norm", "val/loss")
STOP = "+callbacks.stop._target_=tests.distributed.stop.Stop"


def curve(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["step"]) for row in rows] == list(range(1, 21))
    return rows


def same_curve(run_dir: Path, other: Path) -> None:
    for ours, theirs in zip(curve(run_dir), curve(other), strict=True):
        for name in CURVE:
            if theirs[name]:
                assert float(ours[name]) == pytest.approx(float(theirs[name]), rel=1e-5), (name, ours["step"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distributed")
    tiny_pack(folder / "pack")
    ended = train(0, folder, name="one")
    assert ended.code == 0, ended.output
    return folder


def go(folder: Path, name: str, *legs: tuple[int, str]) -> Path:
    """Runs legs of (processes, override), all but the last stopped after 5 further steps; returns the run's folder."""
    for number, (processes, override) in enumerate(legs, 1):
        stop = [] if number == len(legs) else [f"{STOP}", f"+callbacks.stop.step={5 * number}"]
        ended = train(processes, folder, override, *stop, name=name)
        assert ended.code == 0 or stop, ended.output
        if number > 1:
            assert f"continues after step {5 * (number - 1)}:" in ended.output, ended.output
    return folder / "runs" / name


def test_a_run_goes_on_on_other_meshes_with_the_same_curve(folder: Path) -> None:
    run_dir = go(folder, "moves", (2, "parallel.tensor=1"), (2, "parallel.tensor=2"), (0, "parallel.tensor=1"))
    same_curve(run_dir, folder / "runs/one")


@pytest.mark.slow
@pytest.mark.parametrize(
    "legs",
    [
        ((0, "parallel.tensor=1"), (2, "parallel.tensor=1"), (4, "parallel.tensor=2"), (4, "parallel.replicate=2")),
        ((4, "parallel.replicate=2"), (4, "parallel.tensor=1"), (0, "parallel.tensor=1")),
        ((1, "parallel.sharded=true"), (2, "parallel.tensor=2"), (1, "parallel.sharded=true")),
    ],
    ids=["one-to-2-to-2x2", "2x2-to-4-to-one", "one-sharded"],
)
def test_any_mesh_goes_on_from_any_other(folder: Path, legs: tuple[tuple[int, str], ...]) -> None:
    same_curve(go(folder, f"legs-{legs[0]}".replace(" ", ""), *legs), folder / "runs/one")


def test_on_the_same_mesh_a_stopped_run_ends_bitwise_as_a_whole_one(folder: Path) -> None:
    whole = train(2, folder, "precision=bf16", name="whole")
    assert whole.code == 0, whole.output
    run_dir = go(folder, "stopped", (2, "precision=bf16"), (2, "precision=bf16"))
    last = "checkpoints/step-00000020"
    files = [file.name for file in sorted((folder / "runs/whole" / last).glob("*.safetensors"))]
    assert len(files) == 4
    for file in files:
        ours, theirs = (load_file(place / last / file) for place in (run_dir, folder / "runs/whole"))
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert torch.equal(ours[name], theirs[name]), name
    assert [r["train/loss"] for r in curve(run_dir)] == [r["train/loss"] for r in curve(folder / "runs/whole")]
    kept = sorted(path.name for path in (run_dir / "checkpoints").iterdir())
    assert kept == ["step-00000015", "step-00000020"]  # the policy's two, nothing half written
    marker = json.loads((run_dir / last / "checkpoint.json").read_text())
    assert marker["kind"] == "sharded" and marker["mesh"] == "1 × 2 × 1" and len(marker["files"]) == 5


def test_impossible_meshes_are_refused_once_with_the_possible_ones(folder: Path) -> None:
    ended = train(2, folder, "parallel.tensor=3", name="refused")
    assert ended.code != 0
    lines = [line for line in ended.output.splitlines() if line.startswith("packtrain: ")]
    assert lines == [
        "packtrain: parallel.replicate=1 × parallel.tensor=3 does not divide 2 processes; possible replicate × shard × "
        "tensor: 1×2×1, 2×1×1, 1×1×2"
    ]
