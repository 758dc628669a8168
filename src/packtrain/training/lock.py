"""one process at a time in a run folder: the kernel's file lock, which a SIGKILL releases too"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from packtrain.errors import UserError

LOCK = ".lock"


@contextmanager
def only_process(run_dir: Path) -> Iterator[None]:
    """Hold `run_dir` while training in it. Raises `UserError`, naming the process, where another one does.

    Where the file system knows no locks (some network mounts) nothing is held.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    with (run_dir / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
