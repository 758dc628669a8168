"""a request on stdin → confined (namespaces, else Landlock) → limited → seccomp → the program → a line on stdout

Run by `run.py` in a process of its own. When the program begins, nothing from outside is left but the pipe
on which its outcome goes, with the word of the request, which a program that merely ends cannot write.
"""

from __future__ import annotations

import json
import os
import resource
import runpy
import signal
import sys
from typing import Any

from packtrain.evaluation.sandbox import landlock, namespaces, system_calls

DEATH_SIGNAL = 1


def main() -> None:
    die_with_parent()
    request = json.loads(sys.stdin.buffer.read())
    result = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    tell = Teller(result, request["word"])
    try:
        tell.way = confine(request)
        limit(request, tell.way)
        path = write_program(request, tell.way)
        sys.path.remove(sys.argv.pop())
        os.environ.clear()
        lock()
        tell(ready=True)  # from here on the clock counts
    except OSError as error:
        tell(refused=str(error))
        os._exit(1)
    run_program(path, tell)


class Teller:
    """Writes the outcome: one line of JSON."""

    def __init__(self, fd: int, word: str) -> None:
        self.fd, self.word, self.way = fd, word, ""

    def __call__(self, **outcome: Any) -> None:
        os.write(self.fd, json.dumps({"word": self.word, "way": self.way, **outcome}).encode() + b"\n")


def confine(request: dict[str, Any]) -> str:
    """The way it was done. Raises `OSError` where this system has none of those that are asked for."""
    why = []
    if "namespaces" in request["ways"]:
        try:
            namespaces.unshare()
            die_with_parent()  # a change of namespace has taken it back
            child = os.fork()
            if child:
                _, status = os.waitpid(child, 0)
                os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
            die_with_parent()
            namespaces.new_root(request["folder"], request["disk_bytes"])
            namespaces.drop_capabilities()
            return "namespaces"
        except OSError as error:
            why.append(str(error))
    if "landlock" in request["ways"]:
        try:
            os.chdir(request["folder"])
            write_program(request, "")
            landlock.restrict([*namespaces.readable(), request["folder"]], namespaces.DEVICES)
            return "landlock"
        except OSError as error:
            why.append(str(error))
    raise OSError("; ".join(why))


def die_with_parent() -> None:
    """With a killed evaluation ends what it runs."""
    namespaces.libc.prctl(DEATH_SIGNAL, signal.SIGKILL)


def write_program(request: dict[str, Any], way: str) -> str:
    """Into the folder it runs in; under Landlock it lies there already."""
    path = os.path.join(os.getcwd(), "program.py")
    if way != "landlock":
        with open(path, "w", encoding="utf-8", errors="surrogatepass") as file:
            file.write(request["source"])
    return path


def limit(request: dict[str, Any], way: str) -> None:
    """Hard limits, which nothing raises again."""
    disk = request["disk_bytes"] if way == "namespaces" else 0
    limits = {
        resource.RLIMIT_AS: request["memory_bytes"], resource.RLIMIT_CPU: request["cpu_seconds"],
        resource.RLIMIT_FSIZE: disk, resource.RLIMIT_NOFILE: request["open_files"], resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
    }  # fmt: skip
    if way == "namespaces":  # elsewhere the user's other processes count too; seccomp allows no second one anyway
        limits[resource.RLIMIT_NPROC] = request["threads"]
    for name, value in limits.items():
        hard = resource.getrlimit(name)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(name, (value, value))


def lock() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a file that grows too large is then an OSError of the program
    system_calls.install()


def run_program(path: str, tell: Teller) -> None:
    """Passed: it came to its end. What it raises, SystemExit included, is why it did not."""
    try:
        runpy.run_path(path, run_name="program")
    except BaseException as error:
        if isinstance(error, OSError) and error.filename == path:
            tell(refused=f"the program cannot be read: {error.strerror}")
        else:
            tell(passed=False, why=f"{type(error).__name__}: {error}"[:200].strip())
    else:
        tell(passed=True, why="")
    os._exit(0)
