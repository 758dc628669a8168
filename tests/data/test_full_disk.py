"""A disk that really fills during prepare and pack: one line, no half output; with room the rerun completes"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from packtrain.cli import main
from packtrain.data.run_steps import units_of
from tests.data.corpus import write_tokenizer

ROOM = "300k"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system can be mounted by root only")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten files of chance words, some 600 kB packed, which no disk of 300 kB holds; a tokenizer; documents of them."""
    base, chance = tmp_path_factory.mktemp("full"), np.random.default_rng(2)
    (base / "in").mkdir()
    for number in range(10):
        words = (f"{word:x}" for word in chance.integers(0, 2**60, 6000))
        (base / "in" / f"{number}.txt").write_text("\n\n".join(words))
    write_tokenizer(base / "tokenizer.model")
    assert main(["prepare", f"input={base / 'in'}", f"output={base / 'documents'}"]) == 0
    return base


@pytest.mark.parametrize("processes", [0, 2])
@pytest.mark.parametrize("command", ["prepare", "pack"])
def test_a_disk_that_fills_is_one_line_and_the_same_command_goes_on_with_more_room(
    base: Path, disk: Path, command: str, processes: int, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("packtrain.data.prepare.units_of", lambda files, sizes: units_of(files, sizes, 1))
    given = {
        "prepare": ["prepare", f"input={base / 'in'}", f"prepare.processes={processes}"],
        "pack": ["pack", f"input={base / 'documents'}", f"tokenizer={base / 'tokenizer.model'}",
                 f"processes={processes}"],
    }[command]  # fmt: skip
    given.append(f"output={disk / 'out'}")
    capsys.readouterr()
    assert main(given) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "Traceback" not in error
    assert "No space left on device" in error and "free some space, then run the same command again" in error
    assert not (disk / "out").exists() and not [path for path in disk.rglob("*") if ".~" in path.name]
    subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
    assert main(given) == 0
    if command == "prepare":
        assert "goes on where it stopped" in capsys.readouterr().out
    assert (disk / "out").is_dir() and [path.name for path in disk.iterdir()] == ["out"]
