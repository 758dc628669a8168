"""Two ranks: a run whose mixture and schedule change is the same stopped before, on and after the boundary"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from packtrain.checkpoint.load import read_weights
from tests.distributed.launch import train
from tests.distributed.test_train import STOP, curve, same_curve
from tests.tiny import tiny_pack

CHANGE = (
    "+data.weights.a=1", "+changes.anneal.at_tokens=2500", "+changes.anneal.weights.a=1",
    "+changes.anneal.weights.b=3", "+changes.anneal.schedule=wsd", "+changes.anneal.decay_fraction=1",
    "loggers=csv",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("changes")
    tiny_pack(folder / "pack")
    return folder


@pytest.mark.slow
def test_two_ranks_change_mixture_and_schedule_at_the_same_step_however_often_they_are_stopped(folder: Path) -> None:
    for name, processes in (("one", 0), ("two", 2)):
        ended = train(processes, folder, *CHANGE, name=name)
        assert ended.code == 0, ended.output
    for at in (7, 10, 13):
        ended = train(2, folder, *CHANGE, STOP, f"+callbacks.stop.step={at}", name="stopped")
    ended = train(2, folder, *CHANGE, name="stopped")
    assert ended.code == 0 and "continues after step 13:" in ended.output, ended.output
    one, two, stopped = (folder / "runs" / name for name in ("one", "two", "stopped"))
    same_curve(two, one)
    assert [(r["train/loss"], r["train/lr"]) for r in curve(stopped)] == [
        (r["train/loss"], r["train/lr"]) for r in curve(two)
    ]
    ours, theirs = (read_weights(run / "checkpoints/step-00000020") for run in (stopped, two))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert len({(run / "ledger.json").read_text() for run in (one, two, stopped)}) == 1, (
        "what was drawn, of each domain"
    )
    assert '"after_step": 10' in (stopped / "ledger.json").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("mesh", ["parallel.tensor=1", "parallel.tensor=2"])
def test_a_new_run_on_two_ranks_begins_with_the_weights_of_another_run(folder: Path, mesh: str) -> None:
    """From one process's checkpoint on a mesh, and from that mesh's in one process."""
    source = folder / "runs" / "source"
    if not (source / "summary.json").exists():
        assert train(0, folder, "loggers=csv", name="source").code == 0
    begun = f"begun-{mesh[-1]}"
    still = ("optim.learning_rate=1e-9", "seed=2", "loggers=csv")
    for processes, name, init in ((2, begun, source), (0, f"{begun}-back", folder / "runs" / begun)):
        ended = train(processes, folder, *still, *([mesh] if processes else []), f"init_from={init}", name=name)
        assert ended.code == 0 and f"{name} starts:" in ended.output, ended.output
        ours, theirs = (read_weights(run / "checkpoints/step-00000020") for run in (folder / "runs" / name, source))
        assert ours.keys() == theirs.keys()
        assert all(torch.allclose(ours[key], theirs[key], atol=1e-6) for key in theirs), name


@pytest.mark.slow
def test_init_from_of_another_shape_is_refused_once_on_two_ranks(folder: Path) -> None:
    source = folder / "runs" / "source"
    if not (source / "summary.json").exists():
        assert train(0, folder, "loggers=csv", name="source").code == 0
    ended = train(2, folder, f"init_from={source}", "model.dim=64", name="refused")
    lines = [line for line in ended.output.splitlines() if line.startswith("packtrain: ")]
    assert ended.code != 0 and len(lines) == 1 and "its model.dim is 32, this run's is 64" in lines[0], ended.output
