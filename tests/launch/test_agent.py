"""cluster=torchrun: a lost rank is started again by torchrun's rule, a mistake is told once and not tried again"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from packtrain.launch.agent import exit_code

RANK = """
import os, signal, sys, time
from pathlib import Path
from packtrain.launch import note
with open(Path(__file__).with_name("starts"), "a") as file:
    file.write("x")
{end}
"""


@pytest.mark.parametrize(
    ("end", "starts", "code", "said"),
    [
        ("note.leave('failed', 'no such data', 2); sys.exit(2)", 1, 2, ""),
        ("os.kill(os.getpid(), signal.SIGKILL)", 2, 137, "packtrain: rank 0 has ended by signal 9; the same command"),
        ("note.leave('lost', 'rank 1 hangs', 1); sys.exit(1)", 2, 1, "packtrain: rank 0 has ended with exit code 1"),
    ],
)
def test_what_ends_a_rank_decides_whether_it_is_started_again(
    tmp_path: Path, end: str, starts: int, code: int, said: str
) -> None:
    (tmp_path / "rank.py").write_text(RANK.format(end=end))
    words = [sys.executable, "-m", "packtrain.launch.agent", "--standalone", "--nproc-per-node=1", "--max-restarts=1"]
    environment = {key: value for key, value in os.environ.items() if key != "PACKTRAIN_NOTE"}
    ended = subprocess.run([*words, str(tmp_path / "rank.py")], capture_output=True, text=True, env=environment)
    assert ended.returncode == code and said in ended.stderr, ended.stderr
    assert "Traceback" not in ended.stderr
    assert len((tmp_path / "starts").read_text()) == starts


def test_the_note_of_a_rank_that_failed_holds_its_exit_code() -> None:
    assert exit_code("lost: rank 1 on n1: gone\nfailed: rank 0 on n1, exit code 2: a typo, exit code 7: x\n") == 2
    assert exit_code("requeue: rank 0 on n1: saved\n") is None
