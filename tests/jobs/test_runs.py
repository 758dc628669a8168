"""packtrain runs: the list says what state each run is in; a comparison shows only what differs"""

import json
from pathlib import Path

import pytest

from packtrain import cli
from packtrain.report.failures import note_member


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    """One finished run, one stopped, one empty, and a sweep of two."""

    def write(name: str, config: str, **files: str) -> None:
        folder = tmp_path / name
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "config.yaml").write_text(config)
        for file, text in files.items():
            (folder / file.replace("__", ".")).write_text(text)

    summary = {"finished": True, "step": 9, "tokens": 900, "train_loss": 3.25, "validation": {"prose": {"loss": 3.5}}}
    write("done", "model: {dim: 4}\nseed: 1\n", summary__json=json.dumps(summary))
    write("half", "model: {dim: 8}\nseed: 1\n", metrics__csv="step,tokens,train/loss\n1,100,5.0\n2,200,4.5\n")
    write("sizes/model=1m", "model: {dim: 4}\nseed: 2\n")
    write("sizes/model=5m", "model: {dim: 8}\nseed: 2\n")
    (tmp_path / "nothing").mkdir()
    (tmp_path / ".smoke-x").mkdir()
    return tmp_path


def test_the_list_names_every_run_and_member_with_its_state(runs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["runs", f"runs_dir={runs_dir}", "format=json"]) == 0
    listed = {line["name"]: line for line in json.loads(capsys.readouterr().out)}
    states = {name: line["state"] for name, line in listed.items()}
    assert states == {
        "done": "finished",
        "half": "stopped",
        "nothing": "empty",
        "sizes/model=1m": "empty",
        "sizes/model=5m": "empty",
    }
    assert (listed["half"]["step"], listed["half"]["tokens"], listed["half"]["train_loss"]) == (2, 200, 4.5)
    assert (listed["done"]["step"], listed["done"]["train_loss"]) == (9, 3.25)
    assert cli.main(["runs", f"runs_dir={runs_dir}"]) == 0
    assert "finished" in capsys.readouterr().out


def test_a_comparison_shows_what_differs_and_the_last_figures(
    runs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["runs", f"runs_dir={runs_dir}", "compare=[done,half]", "format=json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert table["settings"] == {"model.dim": [4, 8]}, "the seed is the same and does not stand there"
    assert table["figures"]["train loss"] == [3.25, 4.5]
    assert table["figures"]["validation loss prose"] == [3.5, None]
    assert cli.main(["runs", f"runs_dir={runs_dir}", "compare=[sizes]"]) == 2
    assert cli.main(["runs", f"runs_dir={runs_dir}", "compare=[sizes/model=1m,half]"]) == 0
    assert "sizes/model=1m" in capsys.readouterr().out


def test_a_folder_without_runs_says_how_to_make_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["runs", f"runs_dir={tmp_path}/none"]) == 0
    assert "packtrain train" in capsys.readouterr().out


def test_an_unreadable_run_hides_no_other_and_can_be_deleted(
    runs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (runs_dir / "half" / "config.yaml").write_text("")
    assert cli.main(["runs", f"runs_dir={runs_dir}", "format=json"]) == 0
    states = {line["name"]: line["state"] for line in json.loads(capsys.readouterr().out)}
    assert states["half"] == "broken" and states["done"] == "finished" and len(states) == 5
    assert cli.main(["runs", f"runs_dir={runs_dir}", "delete=half", "yes=true"]) == 0
    assert not (runs_dir / "half").exists() and (runs_dir / "done").exists()


def test_a_member_of_a_sweep_that_never_got_a_folder_is_listed_with_what_it_said(
    runs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    note_member(runs_dir / "sizes/model=9m", 2, "model.dim=7 is odd")
    note_member(runs_dir / "none/seed=1", 1, "loss nan at step 3")
    capsys.readouterr()
    assert cli.main(["runs", f"runs_dir={runs_dir}", "format=json"]) == 0
    lines = {line["name"]: line for line in json.loads(capsys.readouterr().out)}
    assert lines["sizes/model=9m"]["state"] == "failed" and lines["sizes/model=9m"]["said"] == "model.dim=7 is odd"
    assert "none" not in lines and lines["none/seed=1"]["state"] == "failed"
    assert cli.main(["runs", f"runs_dir={runs_dir}"]) == 0
    assert "sizes/model=9m failed: model.dim=7 is odd" in capsys.readouterr().out
    for name in ("sizes/model=9m", "none"):
        assert cli.main(["runs", f"runs_dir={runs_dir}", f"delete={name}", "yes=true"]) == 0
    assert cli.main(["runs", f"runs_dir={runs_dir}"]) == 0
    assert "failed" not in capsys.readouterr().out.replace("deleted", "")
