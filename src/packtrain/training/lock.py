"""one process at a time in a run folder: the kernel's file lock, which a SIGKILL releases too"""

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
    """Hold `run_dir` while training in it. Raises `UserError`, naming the process, where another one does.

    Where the file system knows no locks (some network mounts) nothing is held.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    with (run_dir / LOCK).open("a+") as file:
        try:
            _take(file)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise UserError(
                f"{run_dir} is being trained by process {holder}; wait for it, stop it, or give this run another name="
            ) from None
        except OSError:
            yield
            return
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _take(file: TextIO) -> None:
    """The lock; where its holder was killed this moment, the kernel is given some seconds to let it go."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip()
            if not holder.isdecimal() or psutil.pid_exists(int(holder)) or time.monotonic() > until:
                raise
            time.sleep(0.05)
