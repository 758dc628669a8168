"""program → a jail of its own → Outcome; many of them side by side

generated code ─ jail.py in a new process: no network, one process, no file but its own few, bounded time and memory
               ─ killed with all its group at the end of its time, and whatever it says is at most LONGEST bytes
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from packtrain.errors import Failure, UserError

JAIL = "import sys; sys.path.append(sys.argv[1]); from packtrain.evaluation.sandbox import jail; jail.main()"
SOURCE = str(Path(__file__).parents[3])  # where packtrain is imported from: all that the jail needs beside Python
WAYS = ("namespaces", "landlock")  # of keeping files and network away, the better one first
LONGEST = 4096  # bytes of an outcome
SETUP_SECONDS = 120.0  # a kernel that tidies up network namespaces makes new ones wait, which is no program's fault
KILLED = (-signal.SIGKILL, 256 - signal.SIGKILL)  # the second: a jail's first process says so of its child
PROBE = """
import socket
try:
    socket.create_connection(("127.0.0.1", 9))
except PermissionError:
    pass
else:
    raise RuntimeError("there is a network")
"""


@dataclass(frozen=True)
class Limits:
    """cpu_seconds: of computing, so that a busy machine fails no program; three times what the longest of the reference
    programs takes.  seconds: on the clock, for those that wait; a busy machine computes `cpu_seconds` long before.
    disk_bytes: in memory, all files together (none where only Landlock is there)."""

    cpu_seconds: int = 15
    seconds: float = 120.0
    memory_bytes: int = 1 << 30
    disk_bytes: int = 16 << 20
    open_files: int = 64
    threads: int = 64

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value <= 0:
                raise UserError(f"{name}={value}: expected more than 0")


@dataclass(frozen=True)
class Outcome:
    """passed: the program came to its end without raising.  why: what stopped it, else empty.  way: how it was held."""

    passed: bool
    why: str
    way: str
    seconds: float


DEFAULT = Limits()


def run_program(source: str, limits: Limits = DEFAULT, ways: Sequence[str] = WAYS) -> Outcome:
    """Runs `source` confined. Raises `UserError` where this system cannot hold it: then nothing was run."""
    if sys.platform != "linux":
        raise UserError("generated code is held by means of Linux, which this is not; run this task on Linux")
    word = secrets.token_hex(16)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="packtrain-code-") as folder:
        request = {**asdict(limits), "word": word, "source": source, "folder": folder, "ways": list(ways)}
        process = subprocess.Popen(
            [sys.executable, "-s", "-S", "-P", "-B", "-c", JAIL, SOURCE], cwd=folder, env={"PYTHONHASHSEED": "0"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            said, in_time = talk(process, json.dumps(request).encode(), limits.seconds)
        finally:
            end(process)
    seconds = time.monotonic() - start
    found = told(said, word)
    if not said:
        raise Failure(f"the sandbox for generated code did not start within {SETUP_SECONDS:.0f} s; try again")
    if found:
        return Outcome(found["passed"], found["why"], found["way"], seconds)
    if not in_time or (process.returncode in KILLED and seconds >= limits.cpu_seconds):
        return Outcome(False, "out of time", "", seconds)
    if len(said) > LONGEST:
        return Outcome(False, "wrote where nothing is to be written", "", seconds)
    return Outcome(False, "ended itself, or was killed", "", seconds)


def talk(process: subprocess.Popen[bytes], request: bytes, seconds: float) -> tuple[bytes, bool]:
    """(what it said, of which LONGEST bytes are taken at most; whether it ended within `seconds` of being ready)."""
    assert process.stdin and process.stdout
    with contextlib.suppress(BrokenPipeError), process.stdin:
        process.stdin.write(request)
    said, deadline = b"", time.monotonic() + SETUP_SECONDS
    with selectors.DefaultSelector() as selector, process.stdout as pipe:
        selector.register(pipe, selectors.EVENT_READ)
        while len(said) <= LONGEST:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return said, False
            part = os.read(pipe.fileno(), LONGEST)
            if not part:
                break
            if not said:
                deadline = time.monotonic() + seconds
            said += part
    return said, True


def end(process: subprocess.Popen[bytes]) -> None:
    """Kills what is left of its group, and waits for it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def told(said: bytes, word: str) -> dict[str, Any] | None:
    """The line of the jail itself, known by its word. Raises `UserError` where the jail could not be closed."""
    for line in said.split(b"\n"):
        with contextlib.suppress(ValueError, AttributeError):
            found: dict[str, Any] = json.loads(line)
            if found.get("word") == word and "ready" not in found:
                break
    else:
        return None
    if "refused" in found:
        raise UserError(
            f"this system cannot hold generated code ({found['refused']}); run it where user namespaces or Landlock "
            "(Linux 6.2 or later) are allowed"
        )
    return found


@cache
def held_by() -> str:
    """How programs are held here, tried with one. Raises `UserError` where they are not, `Failure` where that fails."""
    found = run_program(PROBE)
    if not found.passed:
        raise Failure(f"the sandbox for generated code does not work here: {found.why}; nothing was run in it")
    return found.way


def run_programs(sources: Iterable[str], limits: Limits, workers: int | None = None) -> Iterator[Outcome]:
    """The outcomes in the order of `sources`, as they come; `workers` at a time, by default one per core."""
    held_by()
    with ThreadPoolExecutor(workers or len(os.sched_getaffinity(0))) as pool:
        yield from pool.map(lambda source: run_program(source, limits), sources)
