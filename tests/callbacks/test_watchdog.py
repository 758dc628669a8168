"""A rank that hangs is named: rank, host, step, line of code; and the process ends, for its launcher to restart"""

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from packtrain.callbacks import watchdog
from packtrain.callbacks.watchdog import Beat, Watchdog, suspects
from packtrain.errors import UserError


def beat(rank: int, step: int = 7, waiting: bool = True, at: float = 100.0) -> Beat:
    return Beat(rank, f"n{rank}", step, "data.py:3 read", waiting, at, 0.0)


def test_the_silent_one_is_named_before_the_busy_one_and_that_before_the_one_behind() -> None:
    sound = {0: beat(0), 1: beat(1)}
    found = suspects({**sound, 2: beat(2, waiting=False), 3: beat(3, at=50.0)}, 4, 101.0, 10.0)
    assert list(found) == [3]
    assert found[3].startswith("rank 3 on n3 hangs: no sign of life for 51 s, last seen after step 7")
    found = suspects({**sound, 2: beat(2, waiting=False)}, 3, 101.0, 10.0)
    assert found == {2: "rank 2 on n2 hangs: after step 7 in data.py:3 read"}
    assert list(suspects({**sound, 2: beat(2, step=6)}, 3, 101.0, 10.0)) == [2]
    assert suspects(sound, 3, 101.0, 10.0) == {2: "rank 2 hangs: it never began to train"}


def test_a_step_that_never_ends_is_named_and_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ended: list[int] = []
    note = tmp_path / "note"
    monkeypatch.setenv("PACKTRAIN_NOTE", str(note))
    monkeypatch.setattr(watchdog.os, "_exit", ended.append)
    trainer: Any = SimpleNamespace(global_rank=0, world_size=1, global_step=3)
    dog = Watchdog(str(tmp_path), timeout_seconds=1.0)
    dog.on_train_start(trainer, None)  # pyright: ignore[reportArgumentType]
    for step in range(4, 8):  # a run that goes on is left alone
        time.sleep(0.4)
        trainer.global_step = step
        dog.on_train_batch_end(trainer, None, None, None, 0)  # pyright: ignore[reportArgumentType]
    assert ended == []
    deadline = time.monotonic() + 30
    while not ended and time.monotonic() < deadline:
        time.sleep(0.1)
    dog.teardown(trainer, None, "fit")  # pyright: ignore[reportArgumentType]
    assert ended == [1]
    said = capfd.readouterr().err
    assert "packtrain: rank 0 on " in said and "hangs: after step 7 in " in said and "test_watchdog.py" in said
    assert note.read_text().startswith("lost: rank 0 on ")
    assert not (tmp_path / ".heartbeat").exists()


def test_nobody_watches_without_a_time_and_a_senseless_one_is_refused(tmp_path: Path) -> None:
    dog = Watchdog(str(tmp_path), timeout_seconds=None)
    dog.on_train_start(SimpleNamespace(), None)  # pyright: ignore[reportArgumentType]
    assert os.listdir(tmp_path) == []
    with pytest.raises(UserError, match="timeout_seconds=0: expected a positive number, or null"):
        Watchdog(str(tmp_path), 0)
