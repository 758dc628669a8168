"""jobs: what waits, trains and has ended, from run folders and the queue"""

import json
from pathlib import Path

import pytest
import yaml

from packtrain.cli import main
from packtrain.jobs.jobs import clock, job_lines
from packtrain.launch import slurm_queue, slurm_submit
from packtrain.launch.slurm_queue import Task


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep of three submitted as job 7: one trains, one waits, one has failed; and a finished run of its own."""
    root = tmp_path / "runs"
    for name, rows in {"s/a": 3, "s/c": 1, "alone": 2}.items():
        folder = root / name
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(yaml.safe_dump({"data": {"tokens": 10_000, "batch_tokens": 100}}))
        lines = [f"{step},{step * 100},{4 - step / 10},50.0" for step in range(1, rows + 1)]
        columns = "step,tokens,train/loss,throughput/tokens_per_second"
        (folder / "metrics.csv").write_text("\n".join([columns, *lines]) + "\n")
    (root / "alone" / "summary.json").write_text('{"finished": true, "step": 100}')
    logs = root / "s" / slurm_submit.FOLDER
    logs.mkdir()
    record = {"job": 7, "run_dirs": [str(root / "s" / n) for n in "abc"], "logs": str(logs), "submitted_at": ""}
    (logs / "7.json").write_text(json.dumps(record))
    (logs / "6.json").write_text("half writ")
    queue = {(7, 0): Task("RUNNING", "1:30:00", "n1"), (7, 1): Task("PENDING", "", "Resources"), (7, 2): Task("FAILED")}
    monkeypatch.setattr(slurm_queue, "tasks", lambda jobs: queue if 7 in set(jobs) else {})
    return root


def test_a_sweep_shows_state_step_loss_speed_and_time_left(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", f"runs_dir={runs}", "runs=[s]"]) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert shown[1] == ["s/a", "running", "7_0", "n1", "3/100", "3.7000", "50", "0:03:14", "1:30:00"]  # 9 700 / 50 s
    assert shown[2] == ["s/b", "pending", "7_1", "Resources"]
    assert shown[3] == ["s/c", "failed", "7_2", "1/100", "3.9000", "50"]
    assert len(shown) == 4


def test_a_run_without_slurm_is_told_from_its_folder(runs: Path) -> None:
    lines = {line.name: line for line in job_lines(runs)}
    assert lines["alone"].state == "finished" and lines["alone"].step == 100 and lines["alone"].job is None
    assert set(lines) == {"alone", "s/a", "s/b", "s/c"}


def test_json_and_an_unknown_name(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", f"runs_dir={runs}", "format=json"]) == 0
    assert {line["state"] for line in json.loads(capsys.readouterr().out)} == {
        "finished", "running", "pending", "failed"
    }  # fmt: skip
    assert main(["jobs", f"runs_dir={runs}", "runs=[alon]"]) == 2
    assert "no run 'alon' in" in (error := capsys.readouterr().err) and "did you mean 'alone'?" in error
    assert main(["jobs", f"runs_dir={runs}", "every=0"]) == 2
    assert "every=0: expected seconds" in capsys.readouterr().err


def test_no_runs_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", f"runs_dir={tmp_path / 'none'}"]) == 0
    assert "no runs in" in capsys.readouterr().out


def test_a_clock_of_days() -> None:
    assert clock(3 * 86_400 + 4 * 3600 + 61) == "3d 04:01" and clock(3661) == "1:01:01"
