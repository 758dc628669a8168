"""A disk that really fills in mid-export: one line with the remedy, and nothing half-written is left"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from packtrain.cli import main
from tests.export.making import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("full"))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small file system can be mounted by root only")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize(
    "command",
    [["export", "format=hf"], ["export", "format=meta"], ["export", "format=gguf"], ["export", "format=native"],
     ["quantise", "text_tokens=64"]],
    ids=lambda command: command[-1],
)  # fmt: skip
def test_a_disk_that_fills_is_one_line_and_leaves_nothing(
    run: Path, disk: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, f"checkpoint={run}", f"output={disk / 'out'}"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "Traceback" not in error
    assert "No space left on device" in error and "free some space, then run the same command again" in error
    assert list(disk.iterdir()) == []
