"""packtrain verify: proves an exact resume, and says what differs where it is not exact"""

from __future__ import annotations

from pathlib import Path

import pytest

from packtrain.cli import main

NOISE = "+callbacks.noise._target_=tests.jobs.noise.Noise"


def test_a_run_that_resumes_exactly_is_said_to(train, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = train("precision=bf16", "data.workers=1", "callbacks.loss_curves=null").run_dir
    before = sorted(path.name for path in run_dir.iterdir())
    assert main(["verify", f"run={run_dir}"]) == 0, capsys.readouterr()
    said = capsys.readouterr().out
    assert "resumes exactly" in said and "killed after step 3, 1 steps done twice" in said
    for what in ("sample order", "tokens read", "loss", "gradient norm", "RNG"):
        assert f"  {what:14} equal" in said
    assert "tensors equal" in said
    assert sorted(path.name for path in run_dir.iterdir()) == before


def test_a_callback_that_is_not_reproducible_is_found_and_named(
    train, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    run_dir = train(NOISE).run_dir
    assert main(["verify", f"run={run_dir}"]) == 1
    printed = capsys.readouterr()
    assert "does not resume exactly: loss: at step" in printed.err and "weights: " in printed.err
    assert "sample order   equal" in printed.out and "weights        DIFFER" in printed.out


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", f"run={tmp_path}"]) == 2
    assert "no readable config.yaml there" in capsys.readouterr().err
    assert main(["verify", f"run={tmp_path}", "steps=5"]) == 2
    assert "give an even number of at least 4" in capsys.readouterr().err
    (tmp_path / "config.yaml").write_text("- no run\n")
    assert main(["verify", f"run={tmp_path}"]) == 2
    assert "its config.yaml is not that of a run" in capsys.readouterr().err
    (tmp_path / "config.yaml").write_text("{data: {tokens: 1000, batch_tokens: 256}, callbacks: {}}")
    assert main(["verify", f"run={tmp_path}"]) == 2
    assert "steps=6: the run has 4; give an even number from 4 to 4" in capsys.readouterr().err


def test_a_run_is_found_by_its_name_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/config.yaml").write_text("{data: {tokens: 1000, batch_tokens: 256}, callbacks: {}}")
    assert main(["verify", "run=mine", f"runs_dir={tmp_path}"]) == 2
    assert "steps=6: the run has 4" in capsys.readouterr().err
