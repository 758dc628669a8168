"""A checkpoint whose weights are not of the shape that it says: one line from every command, and nothing is written"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from packtrain.checkpoint.directory import read_meta
from packtrain.cli import main
from tests.tiny_run import make_run


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("shape"))


@pytest.mark.parametrize(("change", "part"), [({"dim": 64}, "tok_embeddings.weight"), ({"n_layers": 2}, "layers.1.")])
@pytest.mark.parametrize("command", ["export", "generate", "quantise", "evaluate"])
def test_it_is_refused(
    base: Path, tmp_path: Path, command: str, change: dict[str, int], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "runs" / "other"
    shutil.copytree(base, run)
    marker = run / "checkpoints/step-00000010/checkpoint.json"
    meta = read_meta(marker.parent)
    marker.write_text(json.dumps({**meta, "model": {**meta["model"], **change}}))
    before = sorted(tmp_path.rglob("*"))
    capsys.readouterr()
    assert main([command, f"checkpoint={run}", "device=cpu"][: 2 if command == "export" else 3]) in (1, 2)
    error = capsys.readouterr().err
    assert error.count("packtrain: ") == 1 and error.count("\n") <= 2 and "Traceback" not in error, error
    assert part in error and str(marker.parent) in error, error
    assert sorted(tmp_path.rglob("*")) == before
