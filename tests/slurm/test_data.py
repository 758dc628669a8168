"""prepare and pack on a real SLURM of two nodes: the same bytes as on this machine, a killed task is made again"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from packtrain.cli import main
from packtrain.data.documents import Document, DocumentWriter
from tests.data.corpus import text, write_tokenizer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SLURM = ("executor=slurm", "executor.partition=main", "executor.memory_gb=1", "executor.time=10")


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def kill_one(log: list[int]) -> None:
    """SIGKILL to the first process of a unit that is seen."""
    end = time.monotonic() + 120
    while not log and time.monotonic() < end:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_bytes()
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if b"SLURM_ARRAY_TASK_ID=0\0" in environment and b"spawn_main" in command:
                os.kill(int(folder.name), signal.SIGKILL)
                log.append(int(folder.name))
                return
        time.sleep(0.01)


def test_slurm_makes_the_same_bytes_and_makes_a_killed_unit_again(
    slurm: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for i in range(2400):  # of a thousand files a unit is
        (tmp_path / "in" / f"{i}.txt").write_text(text(i, 60))
    assert main(["prepare", "input=in", "output=here", "prepare.processes=1"]) == 0
    killed: list[int] = []
    thread = threading.Thread(target=kill_one, args=(killed,), daemon=True)
    thread.start()
    assert main(["prepare", "input=in", "output=there", *SLURM]) == 0
    thread.join(5)
    assert killed and tree(tmp_path / "there") == tree(tmp_path / "here")
    for part in range(3):
        with DocumentWriter(tmp_path / "documents" / "a", single=f"part{part}") as writer:
            for i in range(1200):
                writer.write(Document(f"{part}/{i}", text(i, 60), "a", "made up"))
    write_tokenizer(tmp_path / "tokenizer.model")
    for output, more in (("one", ("processes=1",)), ("two", SLURM)):
        command = ["pack", "input=documents", "tokenizer=tokenizer.model", f"output={output}"]
        assert main([*command, *more]) == 0
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    capsys.readouterr()
    assert main(["prepare", "input=in", "output=x", "executor=slurm", "executor.partition=gpu"]) == 2
    assert "executor.partition=gpu: this cluster has no such partition; known: high, main" in capsys.readouterr().err
