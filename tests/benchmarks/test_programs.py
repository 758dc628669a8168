"""Every benchmark runs: a tiny shape, in seconds, with the columns that the documentation draws"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import common


def run(name: str, folder: Path, *arguments: str) -> list[dict[str, Any]]:
    torch.set_num_threads(1)
    importlib.import_module(f"benchmarks.{name}").main(["--quick", "--out", str(folder), *arguments])
    document = json.loads((folder / f"{name}-{common.machine_name()}.json").read_text())
    assert document["quick"] and document["versions"]["torch"]
    return document["results"]


def test_train_step_times_packtrain_beside_both_peers(tmp_path: Path) -> None:
    rows = run("train_step", tmp_path)
    assert [(row["implementation"], row["precision"]) for row in rows] == [
        (name, precision) for precision in ("fp32", "bf16") for name in ("packtrain", "transformers", "litgpt")
    ]
    for row in rows:
        assert row["seconds_per_step"] > 0 and row["peak_bytes"] > 0 and row["tokens_per_second"] > 0
        assert ("times_best_peer" in row) == (row["implementation"] == "packtrain")


def test_recompute_has_every_policy(tmp_path: Path) -> None:
    rows = run("recompute", tmp_path)
    assert {row["recompute"] for row in rows} == {"none", "manual", "selective", "full"}
    kept = {row["recompute"]: row["activation_bytes"] for row in rows if row["precision"] == "fp32"}
    assert kept["full"] < kept["manual"] < kept["none"] and kept["manual"] < 0.6 * kept["none"]


def test_overhead_times_the_trainer_and_the_bare_loop(tmp_path: Path) -> None:
    rows = run("overhead", tmp_path)
    assert [row["loop"] for row in rows] == ["bare", "trainer", "meter"] and all(
        row["seconds_per_step"] > 0 for row in rows
    )


def test_gpu_runs_its_cpu_part(tmp_path: Path) -> None:
    rows = run("gpu", tmp_path, "--device", "cpu")
    assert {row["implementation"] for row in rows} == {"packtrain", "transformers", "litgpt"}
    for row in rows:
        assert row["tokens_per_second"] > 0 and row["mfu_6n"] is None, "the peak of this device is not in the table"


def test_generate_times_every_implementation_on_the_same_weights(tmp_path: Path) -> None:
    rows = run("generate", tmp_path, "--threads", "1", "--no-compile")
    found = [(row["implementation"], row["precision"]) for row in rows]
    assert found[:3] == [("transformers", "fp32"), ("packtrain", "fp32"), ("packtrain", "int8")]
    for row in rows:
        assert row["tokens_per_second"] > 0 and row["prefill_tokens_per_second"] > 0
        assert ("times_transformers" in row) == (row["implementation"] == "packtrain")


def test_healthy_runs_raise_few_alarms_and_planted_spikes_are_seen(tmp_path: Path) -> None:
    rows = {row["case"]: row for row in run("loss_spike", tmp_path)}
    alarms = {case: row["alarms_in_10_000"] for case, row in rows.items() if "alarms_in_10_000" in row}
    calm = ("0.5 %, normal", "first 400 steps, warm-up", "another mixture every 1 000 steps")
    assert len(alarms) == 9 and all(alarms[case] == 0 for case in calm), alarms
    assert alarms["5 %, t of 10"] <= 2 and max(alarms.values()) <= 25, "a tail as no recorded run has one"
    seen = {case: row["seen"] for case, row in rows.items() if "seen" in row}
    for case in ("0.5%: one step, loss × 1.15", "5.0%: one step, loss × 2", "5.0%: one step, gradient norm × 10"):
        assert seen[case] >= 0.8, case
    assert seen["0.5%: no number"] == seen["5.0%: no number"] == 1


@pytest.mark.parametrize("name", ["train_step", "recompute", "overhead", "gpu", "generate", "evaluate", "loss_spike"])
def test_help_says_what_is_measured(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        importlib.import_module(f"benchmarks.{name}").main(["--help"])
    said = capsys.readouterr().out
    assert left.value.code == 0 and "--quick" in said and len(said.splitlines()) > 10


def test_evaluate_answers_the_same_requests_as_lm_eval_s_own_model(tmp_path: Path) -> None:
    rows = run("evaluate", tmp_path, "--tasks", "piqa,arc_easy")
    assert [(row["task"], row["implementation"]) for row in rows] == [
        (task, name) for task in ("piqa", "arc_easy") for name in ("packtrain", "lm-eval hf")
    ]
    assert all(row["largest_difference_nats"] < 1e-4 and row["items_per_second"] > 0 for row in rows)
    assert all(row["times_lm_eval"] > 0 for row in rows if row["implementation"] == "packtrain")
