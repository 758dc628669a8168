"""On two ranks, each with half of the batch: the bad document is found whichever has it, and all ranks decide alike"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from packtrain.training.rewind import read_rewinds
from tests.callbacks.planted import STEP, planted_pack
from tests.distributed.launch import Ended, train

SPIKE = "callbacks.loss_spike."
COMMON = (
    f"{SPIKE}window=5", f"{SPIKE}least=4", f"{SPIKE}threshold=3.5", f"{SPIKE}rewind_steps=8",
    f"{SPIKE}skip_batches=12",
    "data.tokens=8192", "optim.learning_rate=0.01", "callbacks.domain_loss.interval_tokens=8192",
)  # fmt: skip
STOP = ("+callbacks.stop._target_=tests.distributed.stop.Stop",)


def go(folder: Path, name: str, action: str, *more: str) -> Ended:
    return train(2, folder, *COMMON, f"{SPIKE}on_spike={action}", *more, name=name)


def losses(run_dir: Path) -> list[str]:
    with (run_dir / "metrics.csv").open(newline="") as stream:
        return [row["train/loss"] for row in csv.DictReader(stream)]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    folder = tmp_path_factory.mktemp("spikes")
    return folder, planted_pack(folder / "pack")


@pytest.mark.slow
@pytest.mark.parametrize("action", ["rewind", "skip"])
def test_two_ranks_name_the_document_and_an_interrupted_run_decides_the_same(
    planted: tuple[Path, int], action: str
) -> None:
    folder, number = planted
    whole, stopped = folder / f"runs/{action}", folder / f"runs/{action}-stopped"
    ended = go(folder, action, action)
    assert ended.code == 0, ended.output
    record = json.loads((whole / f"spikes/step-{STEP:08d}.json").read_text())
    worst = record["sequences"][0]
    assert len(record["sequences"]) == 8 and worst["domain"] == "odd"
    assert number in [document["document"] for document in worst["documents"]]
    mean = sum(entry["loss"] for entry in record["sequences"]) / 8
    assert mean == pytest.approx(record["loss"], rel=1e-5)
    norms = sum(norm**2 for norm in record["gradient_norms"].values()) ** 0.5
    assert norms == pytest.approx(record["gradient_norm"], rel=1e-5)
    assert bool(read_rewinds(whole)) == (action == "rewind")
    ended = go(folder, f"{action}-stopped", action, *STOP, f"+callbacks.stop.step={STEP - 3}")
    assert f"stopped the run at step {STEP - 3} of 32" in ended.output, ended.output
    ended = go(folder, f"{action}-stopped", action)
    assert ended.code == 0, ended.output
    assert losses(stopped) == losses(whole) and len(losses(whole)) == 32
    for file in sorted((whole / "checkpoints/step-00000032").glob("*.safetensors")):
        ours, theirs = load_file(stopped / "checkpoints/step-00000032" / file.name), load_file(file)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
