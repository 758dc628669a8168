"""tokens/s, where the time goes, utilisation, goodput: right, or not there"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch
import yaml

from packtrain import settings
from packtrain.callbacks.throughput import Throughput
from packtrain.callbacks.totals import read_totals, update_totals
from packtrain.estimate.flops import flops_per_token, hardware_flops
from packtrain.model.config import ModelConfig
from packtrain.training import peak
from packtrain.training.clock import StepClock
from tests.training.test_run import STOP, rows


class Event:
    """CUDA's event as a stream that is `behind` its host sees it: it passes when the device comes to it."""

    now = 0.0  # milliseconds of the device's clock
    passed = 0.0

    def record(self) -> None:
        self.at = Event.now

    def query(self) -> bool:
        return self.at <= Event.passed

    def elapsed_time(self, other: Event) -> float:
        return other.at - self.at


def step(clock: StepClock, waited: float, gap: float) -> None:
    Event.now += gap
    clock.begin()
    Event.now += 30
    clock.update()
    Event.now += 10
    clock.end(waited)


def test_a_device_is_timed_by_events_that_are_read_only_when_they_have_passed() -> None:
    Event.now = Event.passed = 0.0
    made = []
    clock = StepClock(lambda: made.append(Event()) or made[-1])
    step(clock, waited=0.0, gap=0)
    step(clock, waited=0.020, gap=5)  # the host waited 20 ms, the device's stream ran dry for 5 of them
    assert clock.seconds["compute"] == 0.0  # nothing has passed, and nobody waited
    Event.passed = Event.now
    step(clock, waited=0.001, gap=8)
    assert clock.seconds["compute"] == pytest.approx(0.060) and clock.seconds["data"] == pytest.approx(0.005)
    clock.settle(torch.device("cpu"))
    assert clock.seconds["compute"] == pytest.approx(0.090) and clock.seconds["optimiser"] == pytest.approx(0.030)
    assert clock.seconds["data"] == pytest.approx(0.006)  # of the 8 ms dry, the loader is to blame for one
    Event.passed = Event.now
    for _ in range(50):
        step(clock, 0.0, 0.0)
        Event.passed = Event.now
    assert len(made) < 15  # events are used again


def test_the_parts_of_a_step_add_up_to_its_time(train) -> None:
    run_dir = train().run_dir
    for row in rows(run_dir)[1:]:
        parts = {key: float(value) for key, value in row.items() if key.startswith("throughput/seconds/")}
        pauses = parts["throughput/seconds/checkpoint"] + parts["throughput/seconds/validation"]
        assert sum(parts.values()) - pauses == pytest.approx(float(row["throughput/step_seconds"]), rel=0.05)
        assert parts["throughput/seconds/compute"] > 0 and parts["throughput/seconds/optimiser"] > 0
        assert 0 < float(row["throughput/goodput"]) < 1 and float(row["throughput/seconds_left"]) >= 0
        assert 0.01 < float(row["throughput/memory_peak_gib"]) < 64
    assert float(rows(run_dir)[-1]["throughput/seconds_left"]) == 0
    summary = json.loads((run_dir / "summary.json").read_text())
    assert summary["seconds"]["checkpoint"] > 0 and summary["seconds"]["validation"] > 0
    assert summary["devices"] == 1 and summary["device_hours"] == pytest.approx(summary["wall_seconds"] / 3600, rel=0.1)
    config = settings.build(ModelConfig, yaml.safe_load((run_dir / "config.yaml").read_text())["model"])
    assert summary["hfu"] / summary["mfu"] == pytest.approx(
        hardware_flops(config, 32).total / flops_per_token(config, 32)
    )


def test_goodput_counts_the_time_since_the_first_start_and_no_work_that_was_undone(train) -> None:
    stopped = train(STOP % 12)
    path = stopped.run_dir / "totals.json"
    totals = json.loads(path.read_text())
    path.write_text(json.dumps(totals | {"first_start": totals["first_start"] - 1000}))  # nobody restarted it for long
    (stopped.run_dir / "checkpoints/step-00000013/checkpoint.json").unlink()  # as a kill during the save leaves it
    begin = time.time()
    again = train()
    assert again.code == 0 and "continues after step 10" in again.out
    summary = json.loads((again.run_dir / "summary.json").read_text())
    good = summary["seconds"]["compute"] + summary["seconds"]["optimiser"]
    assert summary["goodput"] == pytest.approx(good / (time.time() - totals["first_start"] + 1000), rel=0.01)
    after = read_totals(again.run_dir)
    assert after["starts"] == 2 and after["first_start"] == totals["first_start"] - 1000
    assert after["device_seconds"] > totals["device_seconds"] > 0  # the three steps that were lost were paid for, too
    assert summary["wall_seconds"] <= totals["wall_seconds"] + (time.time() - begin) + 1


def test_a_gpu_that_the_table_does_not_know_has_no_utilisation(train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "measure_matmul", lambda dtype: pytest.fail("a CPU's peak"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA Z9000")
    assert peak.find_peak(torch.device("cuda", 0), torch.bfloat16) is None
    monkeypatch.setattr("packtrain.callbacks.throughput.find_peak", lambda device, dtype: None)
    outcome = train()
    assert "peak FLOP/s of cpu in this precision is not known: MFU is not logged" in outcome.out
    assert not [column for column in rows(outcome.run_dir)[0] if "fu" in column.split("/")[-1]]
    summary = json.loads((outcome.run_dir / "summary.json").read_text())
    assert summary["mfu"] is None and summary["hfu"] is None and summary["tokens_per_second"] > 0


def test_a_share_above_one_is_neither_logged_nor_shown(train, monkeypatch: pytest.MonkeyPatch) -> None:
    low = peak.Peak(1e3, "measured")
    monkeypatch.setattr("packtrain.callbacks.throughput.find_peak", lambda device, dtype: low)
    outcome = train()
    assert not [column for column in rows(outcome.run_dir)[0] if column.split("/")[-1] in ("mfu", "hfu")]
    summary = json.loads((outcome.run_dir / "summary.json").read_text())
    assert summary["mfu"] is None and summary["hfu"] is None and summary["peak_flops"] == 1e3
    assert "MFU unknown (faster than the peak" in outcome.out and "MFU" not in outcome.err


def test_totals_are_merged_written_whole_and_a_broken_file_is_none(tmp_path: Path) -> None:
    update_totals(tmp_path, joules=5.0)
    update_totals(tmp_path, starts=1)
    assert read_totals(tmp_path) == {"joules": 5.0, "starts": 1.0} and len(list(tmp_path.iterdir())) == 1
    (tmp_path / "totals.json").write_text('{"joules": 5')
    assert read_totals(tmp_path) == {}
    update_totals(tmp_path / "nowhere", joules=1.0)
    assert not (tmp_path / "nowhere").exists()


def test_a_meter_that_is_taken_away_and_given_back_goes_on(train) -> None:
    meter = Throughput()
    meter.load_state_dict({"seconds": 3.0, "steps": 2, "wall_seconds": 9.0, "peak": None})  # of an older checkpoint
    assert meter.state_dict()["wall_seconds"] == 9.0 and meter.phases["compute"] == 0.0
