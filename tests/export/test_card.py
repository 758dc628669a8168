"""The model card of a run that was trained and evaluated: every figure is of the weights that it lies beside"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from packtrain.cli import main
from tests.export.making import make_run
from tests.tiny_run import make_pack, make_tokenizer

STEPS = 10


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("card")
    pack = make_pack(folder / "shards", make_tokenizer(folder / "tokenizer.model"))
    command = [
        "train", "name=r", f"runs_dir={folder / 'runs'}", "data=packed", f"data.path={pack}", "data.sequence_length=16",
        "data.micro_batch=4", "data.batch_tokens=64", f"data.tokens={64 * STEPS}", "+data.weights.code=3",
        "+data.weights.prose=1", "model.dim=32", "model.n_heads=2", "model.ffn_multiple_of=32", "optim.warmup_steps=2",
        "callbacks.checkpointing.interval_tokens=320",
    ]  # fmt: skip
    assert main(command) == 0
    assert main(["evaluate", f"checkpoint={folder / 'runs' / 'r'}"]) == 0
    return folder / "runs" / "r"


def card(checkpoint: Path, output: Path, *more: str) -> str:
    assert main(["export", f"checkpoint={checkpoint}", f"output={output}", *more]) == 0
    return (output / "README.md").read_text(encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def metrics(run: Path, step: int) -> dict[str, str]:
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if int(row["step"]) <= step][-1]


def test_it_has_the_figures_of_the_run(trained: Path, tmp_path: Path) -> None:
    text = card(trained, tmp_path / "hf", "licence=CC-BY-4.0", "precision=bf16")
    summary, evaluation = read(trained / "summary.json"), read(trained / "evaluation.json")
    for name, entry in read(trained / "ledger.json")["domains"].items():
        share = f"{100 * entry['realised_tokens'] / summary['tokens']:.1f} %"
        assert f"| {name} | {share} | {entry['realised_epochs']:.4g} |" in text
    for name, scored in evaluation["domains"].items():
        assert f"| {name} | {scored['bits_per_byte']:.4g} | {scored['perplexity']:.4g} |" in text
    assert "Measured in fp32" in text, "the export is bf16"
    assert f"| tokens | {summary['tokens']:,} |" in text and f"| step | {STEPS} |" in text
    assert f"| energy | {summary['energy_kwh']:.4g} kWh ({summary['energy_source']}" in text
    assert f"| emissions | {summary['co2eq_g']:.4g} g CO2eq |" in text
    assert "license: cc-by-4.0" in text and "## Licence\n\nCC-BY-4.0" in text
    start = read(trained / "versions.json")["starts"][0]
    for name in ("torch", "lightning", "litdata", "sentencepiece", "python", "packtrain", "machine"):
        assert f"| {name} | {start[name]} |" in text


def test_an_earlier_checkpoint_has_its_own_figures_or_none(trained: Path, tmp_path: Path) -> None:
    text = card(trained / "checkpoints" / f"step-{STEPS // 2:08d}", tmp_path / "hf")
    then = metrics(trained, STEPS // 2)
    assert f"| energy | {float(then['carbon/energy_kwh']):.4g} kWh" in text
    assert f"| counted up to | step {then['step']} |" in text
    assert f"| {float(then['data/epochs/code']):.4g} |" in text
    assert "evaluation.json of the run is of another checkpoint" in text
    assert "then this export again with `overwrite=true`" in text
    for scored in read(trained / "evaluation.json")["domains"].values():
        assert f"| {scored['perplexity']:.4g} |" not in text


def test_scores_on_tasks_are_in_it(trained: Path, tmp_path: Path) -> None:
    digest = read(trained / "evaluation.json")["made_from"]["model_sha256"]
    figure = {"value": 0.56, "stderr": 0.03519, "n": 200}
    task = {"name": "piqa", "shots": 0, "metric": "acc_char", "figures": {"acc_char": figure}}
    record = {"made_from": {"model_sha256": digest}, "tasks": {"piqa": task}}
    (trained / "tasks.json").write_text(json.dumps(record))
    try:
        assert "| piqa | 0 | 200 | acc_char | 0.56 | 0.03519 |" in card(trained, tmp_path / "hf")
    finally:
        (trained / "tasks.json").unlink()


def test_what_was_imported_was_not_trained_here(tmp_path: Path) -> None:
    native = tmp_path / "theirs"
    assert main(["export", f"checkpoint={make_run(tmp_path)}", "format=native", f"output={native}"]) == 0
    assert main(["import", f"source={native}", "name=again", f"runs_dir={tmp_path / 'runs'}"]) == 0
    text = card(tmp_path / "runs" / "again", tmp_path / "hf")
    assert "imported by packtrain from theirs" in text
    assert "trained with packtrain" not in text and "| tokens |" not in text


def test_a_model_named_by_a_dot_is_called_after_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make_run(tmp_path, name="mine"))
    assert main(["export", "checkpoint=.", "format=gguf", "precision=fp16"]) == 0
    assert (tmp_path / "runs/mine/exports/mine-gguf-fp16/mine-f16.gguf").is_file()
    assert "\n# mine\n" in Path("exports/mine-gguf-fp16/README.md").read_text()


@pytest.mark.parametrize("licence", ["MIT\nmodel: x", "see below, please", ""])
def test_a_licence_is_a_name(tmp_path: Path, licence: str, capsys: pytest.CaptureFixture[str]) -> None:
    from packtrain.errors import UserError
    from packtrain.jobs.export import ExportJob

    with pytest.raises(UserError, match="expected a name of SPDX's list"):
        ExportJob("runs/r", licence=licence)
