"""each rank's step and place → a file each, again and again → no step for too long → the rank that hangs is named

A rank that hangs leaves the others waiting in a collective, which says nothing but that it waits. So each rank tells
where its main thread is; when no step has been done for `timeout_seconds`, the first that still waits reads all files,
names the one that gives no sign of life, else the one that is not waiting, and ends the run: its launcher restarts it.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from packtrain.errors import UserError
from packtrain.launch import note

FOLDER = ".heartbeat"
WAITING = ("torch/distributed/", "packtrain/parallel/")  # code whose callers wait for other ranks


@dataclass(frozen=True)
class Beat:
    """`at` and `since` are seconds of the epoch: when it was written, and when the step was done."""

    rank: int
    host: str
    step: int
    place: str
    waiting: bool
    at: float
    since: float


class Watchdog(Callback):
    """Ends the process with exit code 1 where no step is done for `timeout_seconds`: longer than a validation, a save
    and the first step (which compiles) may take. None: nobody watches."""

    def __init__(self, run_dir: str, timeout_seconds: float | None = 900.0) -> None:
        if timeout_seconds is not None and timeout_seconds <= 0:
            raise UserError(
                f"callbacks.watchdog.timeout_seconds={timeout_seconds:g}: expected a positive number, or null"
            )
        self.run_dir, self.timeout = Path(run_dir), timeout_seconds
        self.rank, self.world, self.step, self.since = 0, 1, 0, 0.0
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def folder(self) -> Path:
        return self.run_dir / FOLDER

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.timeout is None:
            return
        self.rank, self.world = trainer.global_rank, trainer.world_size
        self.step, self.since = trainer.global_step, time.time()
        self._done.clear()
        self._thread = threading.Thread(target=self._watch, args=(threading.get_ident(),), daemon=True)
        self._thread.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.step, self.since = trainer.global_step, time.time()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
            self._thread = None
            with contextlib.suppress(OSError):
                _file(self.folder, self.rank).unlink()
                self.folder.rmdir()  # the last one

    def _watch(self, main_thread: int) -> None:
        assert self.timeout is not None
        interval = min(10.0, self.timeout / 5)
        while True:
            beat = self._beat(main_thread)
            with contextlib.suppress(OSError):  # a full disk is somebody else's to report
                write(self.folder, beat)
            if beat.at - beat.since > self.timeout:
                self._end(interval)
                return
            if self._done.wait(interval):
                return

    def _beat(self, main_thread: int) -> Beat:
        place, waiting = where(sys._current_frames().get(main_thread))
        return Beat(self.rank, platform.node(), self.step, place, waiting, time.time(), self.since)

    def _end(self, interval: float) -> None:
        beats = read(self.folder, self.world)
        found = suspects(beats, self.world, time.time(), 3 * interval + 1)
        sound = [rank for rank in range(self.world) if rank not in found]
        if self.rank == (sound or sorted(found))[0]:
            for rank in sorted(found):
                line = f"{found[rank]}; no step for {time.time() - self.since:.0f} s, the run is ended"
                print(f"packtrain: {line}", file=sys.stderr, flush=True)
                note.leave("lost", line)
        else:
            time.sleep(interval)  # let the line be said
        os._exit(1)  # the main thread waits in a library and would hear nothing else


def suspects(beats: dict[int, Beat], world: int, now: float, silence: float) -> dict[int, str]:
    """rank → why it is thought to hang: silent ones, else those that do not wait, else those that are behind."""
    silent = {
        rank: f"rank {rank} hangs: it never began to train"
        if rank not in beats
        else f"rank {rank} on {beats[rank].host} hangs: no sign of life for {now - beats[rank].at:.0f} s, last seen "
        f"after step {beats[rank].step} in {beats[rank].place}"
        for rank in range(world)
        if rank not in beats or now - beats[rank].at > silence
    }
    if silent:
        return silent
    busy = [beat for beat in beats.values() if not beat.waiting]
    behind = [beat for beat in beats.values() if beat.step == min(b.step for b in beats.values())]
    return {
        beat.rank: f"rank {beat.rank} on {beat.host} hangs: after step {beat.step} in {beat.place}"
        for beat in (busy or behind)
    }


def where(frame: Any) -> tuple[str, bool]:
    """The innermost place in packtrain's own code (or else the innermost), and whether it waits for other ranks."""
    place, innermost, waiting = "", "", False
    while frame is not None:
        name = frame.f_code.co_filename.replace(os.sep, "/")
        at = f"{'/'.join(name.split('/')[-3:])}:{frame.f_lineno} {frame.f_code.co_name}"
        innermost = innermost or at
        place = place or (at if "/packtrain/" in name else "")
        waiting = waiting or any(part in name for part in WAITING)
        frame = frame.f_back
    return (innermost if place in ("", innermost) else f"{innermost}, called from {place}"), waiting


def write(folder: Path, beat: Beat) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    temporary = _file(folder, beat.rank).with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(beat)))
    temporary.replace(_file(folder, beat.rank))


def read(folder: Path, world: int) -> dict[int, Beat]:
    """The last beat of every rank that has one."""
    found = {}
    for rank in range(world):
        with contextlib.suppress(OSError, ValueError, TypeError):
            found[rank] = Beat(**json.loads(_file(folder, rank).read_text()))
    return found


def _file(folder: Path, rank: int) -> Path:
    return folder / f"rank-{rank:05d}.json"
