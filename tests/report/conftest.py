"""Run folders for the report's tests."""

from collections.abc import Callable
from pathlib import Path

import pytest
from run_folders import make_run


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    """`quickstart` is complete, `young` has a config.yaml only."""
    make_run(tmp_path / "runs" / "quickstart")
    make_run(tmp_path / "runs" / "young", complete=False)
    return tmp_path / "runs"


@pytest.fixture
def add_run() -> Callable[[Path], Path]:
    return make_run
