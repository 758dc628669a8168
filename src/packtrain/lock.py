"""one process at a time in a folder, or at an output: the kernel's file lock, which a SIGKILL releases too"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import psutil

from packtrain.errors import UserError

LOCK = ".lock"
PATIENCE = 10.0  # seconds


@contextmanager
def only_process(run_dir: Path) -> Iterator[None]:
    """Hold `run_dir` while training in it. Raises `UserError`, naming the process, where another one does."""
    run_dir.mkdir(parents=True, exist_ok=True)
    remedy = "wait for it, stop it, or give this run another name="
    with _held(run_dir / LOCK, f"{run_dir} is being trained by process {{}}; {remedy}"):
        yield


@contextmanager
def only_maker(output: Path) -> Iterator[None]:
    """Hold `output` while making it: `.NAME.lock` beside it, gone at the end.

    Raises `UserError`, naming the process, where another one makes it.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        file = next(parent for parent in output.parents if parent.exists())
        raise UserError(f"output={output}: {file} is a file, no folder; choose another output") from None
    lock = output.with_name(f".{output.name}{LOCK}")
    with _held(lock, f"output={output}: is being made by process {{}}; wait for it, or choose another output"):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


@contextmanager
def _held(path: Path, taken: str) -> Iterator[None]:
    """`taken` is the message where another process, whose number stands for {}, holds it.

    Where the file system knows no locks (some network mounts) nothing is held.
    """
    while True:
        with path.open("a+") as file:
            try:
                _take(file)
            except BlockingIOError:
                raise UserError(taken.format(_holder(file) or "unknown")) from None
            except OSError:
                yield
                return
            if not _is_there(path, file):
                continue  # its holder was through, and took it away between opening and locking
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield
            return


def _take(file: TextIO) -> None:
    """The lock; where its holder was killed this moment, the kernel is given some seconds to let it go."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(file)
            if not holder.isdecimal() or psutil.pid_exists(int(holder)) or time.monotonic() > until:
                raise
            time.sleep(0.05)


def _holder(file: TextIO) -> str:
    file.seek(0)
    return file.read().strip()


def _is_there(path: Path, file: TextIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
