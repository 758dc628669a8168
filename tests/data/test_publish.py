"""An output is made by one process at a time: a second one is told which, and touches nothing of the first one's"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from packtrain.data.prepare import PrepareOptions, prepare
from packtrain.data.publish import publish
from packtrain.errors import UserError
from packtrain.lock import only_maker


def test_two_prepares_into_one_output_do_not_delete_each_others_work(tmp_path: Path) -> None:
    source, output = tmp_path / "a.txt", tmp_path / "out" / "documents"
    source.write_text("A llama.\n" * 50)
    with publish(output) as building:
        (building / "half").touch()
        message = rf"output={output}: is being made by process {os.getpid()}; wait for it, or choose another output"
        with pytest.raises(UserError, match=message):
            prepare("text", source, output, 0.0)
        assert (building / "half").exists()
    assert [path.name for path in output.parent.iterdir()] == ["documents"], "the lock is gone with the work"


def test_a_file_is_not_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A llama.\n" * 50)
    (tmp_path / "diary").write_text("mine")
    with pytest.raises(UserError, match=r"diary: is a file, where this command makes a folder; choose another output"):
        prepare("text", tmp_path / "a.txt", tmp_path / "diary", 0.1, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "diary"]
    assert (tmp_path / "diary").read_text() == "mine"


def test_an_output_below_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "diary").write_text("A llama.\n" * 50)
    for below in ("x", "x/y"):
        with pytest.raises(UserError, match="diary is a file, no folder; choose another output"):
            prepare("text", tmp_path / "diary", tmp_path / "diary" / below, 0.1)


def test_a_mark_that_a_crash_left_unreadable_is_other_work(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A llama.\n" * 50)
    (tmp_path / ".out.work").mkdir()
    (tmp_path / ".out.work" / "fingerprint").write_bytes(b"\xff\xfe\0\0")
    said: list[str] = []
    prepare("text", tmp_path / "a.txt", tmp_path / "out", 0.1, say=said.append)
    assert said[0].endswith("is made anew") and sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "out"]


def test_what_was_dropped_of_a_generated_domain_is_not_promised(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"keep_dropped=true: domain=unicode keeps nothing"):
        prepare("unicode", None, tmp_path / "out", 0.1, options=PrepareOptions(keep_dropped=True))


def test_a_killed_maker_holds_nothing(tmp_path: Path) -> None:
    output = tmp_path / "made"
    program = f"""
import os, signal
from pathlib import Path
from packtrain.lock import only_maker
with only_maker(Path({str(output)!r})):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program], check=False)
    assert (tmp_path / ".made.lock").exists()
    with only_maker(output):
        pass
    assert not list(tmp_path.iterdir())
