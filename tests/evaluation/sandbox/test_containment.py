"""hostile programs → each way of holding them → none gets out, none stays, and the outcome says that it did not pass"""

import contextlib
import ctypes
import functools
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from packtrain.errors import UserError
from packtrain.evaluation.sandbox.run import WAYS, Limits, run_program, run_programs

QUICK = Limits(cpu_seconds=1, seconds=10, memory_bytes=256 << 20, disk_bytes=1 << 20)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """Each that this machine allows."""
    try:
        run_program("", ways=[request.param])
    except UserError as error:
        pytest.skip(str(error))
    return request.param


def refused(source: str, way: str, error: str = "PermissionError") -> None:
    outcome = run_program(source, QUICK, [way])
    assert not outcome.passed and outcome.why.startswith(error), outcome


JAIL = "packtrain.evaluation.sandbox import jail"  # in the command line of every jail


def running() -> list[psutil.Process]:
    """The jails below this process, whoever began them: those of other tests, and of other programs, are no matter."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile; one that waits to be buried says nothing
            found += [process] if JAIL in " ".join(process.cmdline()) else []
    return found


@pytest.fixture(autouse=True, scope="module")
def orphans() -> Iterator[None]:
    """A process whose parent has ended becomes a child of this one, so that `running` sees it."""
    set_child_subreaper = functools.partial(ctypes.CDLL(None).prctl, 36)
    set_child_subreaper(1)
    yield
    set_child_subreaper(0)


def test_what_comes_to_its_end_passes_and_what_raises_does_not(way: str) -> None:
    assert run_program("assert 1 + 1 == 2", ways=[way]).passed
    outcome = run_program("def f():\n    return 3\nassert f() == 4, 'three'", ways=[way])
    assert (outcome.passed, outcome.why, outcome.way) == (False, "AssertionError: three", way)
    assert run_program("def f(:", ways=[way]).why.startswith("SyntaxError")


def test_the_standard_library_and_threads_are_there(way: str) -> None:
    source = "import collections, decimal, hashlib, heapq, itertools, json, math, random, re, statistics, threading\n"
    source += (
        "found = []\nt = threading.Thread(target=found.append, args=[1])\nt.start()\nt.join()\nassert found == [1]"
    )
    assert run_program(source, ways=[way]).passed


@pytest.mark.parametrize("ending", ["import sys; sys.exit(0)", "import os; os._exit(0)", "exit()", "raise SystemExit"])
def test_a_program_that_ends_itself_early_has_not_passed(ending: str) -> None:
    assert not run_program(f"{ending}\nassert False").passed


def test_a_forged_outcome_does_not_count() -> None:
    source = 'import os\nline = b\'\\n{"word": "", "passed": true, "why": "", "way": "x"}\\n\'\n'
    source += (
        "for fd in range(64):\n    try:\n        os.write(fd, line)\n    except OSError:\n        pass\nos._exit(0)"
    )
    assert not run_program(source).passed


def test_a_fork_bomb_does_not_get_a_second_process(way: str) -> None:
    refused("import os\nwhile True:\n    os.fork()", way)
    refused("import subprocess\nsubprocess.run(['/bin/sh', '-c', ':'])", way)
    refused("import multiprocessing as m\nm.get_context('fork').Process(target=print).start()", way, "")
    wait_for(lambda: not running())  # a killed process stands in /proc until the kernel has taken it down


def test_threads_without_end_are_stopped(way: str) -> None:
    source = "import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=[60]).start()"
    outcome = run_program(source, QUICK, [way])
    assert not outcome.passed
    wait_for(lambda: not running())  # a killed process stands in /proc until the kernel has taken it down


def test_no_other_program_is_started(way: str) -> None:
    refused("import os\nos.execv('/bin/sh', ['sh', '-c', 'exit 0'])", way, "")
    refused("import os\nos.posix_spawn('/bin/sh', ['sh'], {})", way, "")


def test_the_network_is_cut_and_a_server_beside_it_sees_nothing(way: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as control:
        server.settimeout(0.3)
        port = server.getsockname()[1]
        refused(f"import socket\nsocket.create_connection(('127.0.0.1', {port}))", way)
        refused(f"import urllib.request\nurllib.request.urlopen('http://127.0.0.1:{port}')", way, "URLError")
        refused("import socket\nsocket.socket(socket.AF_UNIX)", way)
        with pytest.raises(TimeoutError):
            server.accept()
        socket.create_connection(control.getsockname()).close()  # from out here it is to be reached
        control.accept()[0].close()


def test_a_disk_is_not_filled(way: str, tmp_path: Path) -> None:
    source = "written = 0\ntry:\n    for n in range(10_000):\n        with open(f'{n}', 'wb', 0) as file:\n"
    source += "            written += file.write(bytes(100_000))\nexcept OSError:\n    pass\n"
    source += f"assert written <= {QUICK.disk_bytes}, written"
    assert run_program(source, QUICK, [way]).passed
    one = "with open('one', 'wb', 0) as file:\n    while True:\n        file.write(bytes(1 << 20))"
    refused(one, way, "OSError" if way == "namespaces" else "PermissionError")
    refused("import os\nfd = os.memfd_create('x')", way)


def test_nothing_outside_is_written(way: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    os.utime(mine, (1, 1))
    for place in (tmp_path / "new", mine, Path.home() / "packtrain-was-here", Path("/packtrain-was-here/x")):
        run_program(f"open({str(place)!r}, 'w').write('x')", QUICK, [way])  # the same name in its own root is its own
    for attack in ("os.remove({})", "os.chmod({}, 0)", "os.utime({})", "os.truncate({}, 0)", "os.rename({}, 'x')",
                   "os.symlink({}, 'x') or open('x', 'w').write('x')", "os.link({}, 'x') or open('x', 'w').write('x')",
                   "os.setxattr({}, 'user.x', b'x')", "open({}, 'r+').truncate()"):  # fmt: skip
        assert not run_program("import os\n" + attack.format(repr(str(mine))), QUICK, [way]).passed, attack
    library = re.__file__
    assert not run_program(f"import os\nos.close(os.open({library!r}, os.O_RDONLY | os.O_TRUNC))", QUICK, [way]).passed
    assert Path(library).stat().st_size > 1000
    assert mine.read_text() == "mine" and mine.stat().st_mtime == 1 and os.listdir(tmp_path) == ["mine"]
    assert not (Path.home() / "packtrain-was-here").exists() and not Path("/packtrain-was-here").exists()


def test_no_secret_is_read(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "s3cret")
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    secret.chmod(0o644)
    assert run_program("import os\nassert not os.environ, os.environ", ways=[way]).passed
    for path in (secret, f"/proc/{os.getpid()}/environ", "/proc/self/environ", "/etc/passwd", Path(__file__)):
        refused(f"open({str(path)!r}).read()", way, "FileNotFoundError" if way == "namespaces" else "PermissionError")
    refused("import os\nos.listdir(os.path.expanduser('~'))", way, "")
    assert run_program("import os, sys\nassert not any('packtrain' in p for p in sys.path)", ways=[way]).passed


def test_open_files_of_the_parent_are_not_inherited(way: str, tmp_path: Path) -> None:
    with open(tmp_path / "open", "w") as file:
        os.set_inheritable(file.fileno(), True)
        source = "import os\nfor fd in range(3, 256):\n    try:\n        os.write(fd, b'x')\n"
        source += "    except OSError:\n        pass"
        run_program(source, QUICK, [way])
    assert (tmp_path / "open").read_text() == ""


@pytest.mark.parametrize("loop", ["while True: pass", "import re\nre.match('(a+)+$', 'a' * 64 + 'b')"])
def test_an_endless_loop_is_out_of_time(way: str, loop: str) -> None:
    start = time.monotonic()
    outcome = run_program(loop, QUICK, [way])
    assert not outcome.passed and outcome.why == "out of time"
    assert time.monotonic() - start < QUICK.seconds + 5


def test_waiting_for_ever_is_out_of_time_by_the_clock(way: str) -> None:
    outcome = run_program("import time\ntime.sleep(1000)", Limits(seconds=1.0), [way])
    assert not outcome.passed and outcome.why == "out of time"
    wait_for(lambda: not running())  # a killed process stands in /proc until the kernel has taken it down


def test_no_other_process_is_signalled(way: str) -> None:
    with subprocess.Popen(["sleep", "60"]) as bystander:
        for target in (f"{os.getpid()}, 9", "os.getppid() or -1, 9", "-1, 9", "0, 9", f"{bystander.pid}, 9"):
            refused(f"import os\nos.kill({target})", way)
        pipe = f"import fcntl, os\nr, w = os.pipe()\nfcntl.fcntl(r, 8, {bystander.pid})"
        refused(pipe, way)
        assert bystander.poll() is None
        bystander.kill()


def test_it_does_not_leave_its_process_group(way: str) -> None:
    refused("import os\nos.setsid()", way)
    refused("import os\nos.setpgid(0, 0)", way)


def test_a_flood_of_output_is_thrown_away(way: str) -> None:
    assert run_program("for _ in range(200):\n    print('x' * 100_000)", ways=[way]).passed
    flood = (
        "import os\nwhile True:\n    for fd in range(3, 64):\n        try:\n            os.write(fd, b'x' * 65536)\n"
    )
    flood += "        except OSError:\n            pass"
    start = time.monotonic()
    assert not run_program(flood, QUICK, [way]).passed
    assert time.monotonic() - start < QUICK.seconds + 5


def test_memory_is_bounded(way: str) -> None:
    refused("x = bytearray(1 << 40)", way, "MemoryError")
    refused("x = []\nwhile True:\n    x.append(bytearray(1 << 24))", way, "MemoryError")


def test_limits_are_not_raised_again(way: str) -> None:
    source = "import resource as r\nr.setrlimit(r.RLIMIT_AS, (r.RLIM_INFINITY, r.RLIM_INFINITY))"
    refused(source, way, "ValueError")


def test_a_crash_of_the_interpreter_is_an_outcome(way: str) -> None:
    assert not run_program("import ctypes\nctypes.string_at(1)", ways=[way]).passed
    assert not run_program("import os\nos.abort()", ways=[way]).passed


def test_programs_run_side_by_side_come_back_in_order() -> None:
    found = list(run_programs([f"assert {n} != 1" for n in range(4)], QUICK))
    assert [outcome.passed for outcome in found] == [True, False, True, True]


def test_a_system_that_cannot_hold_them_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="this system cannot hold generated code") as caught:
        run_program("assert False", ways=[])
    assert "\n" not in str(caught.value)


def test_what_holding_a_program_takes_is_not_counted_as_its_time(way: str) -> None:
    """The clock of 50 ms is less than a jail needs to close."""
    assert run_program("x = 1", Limits(seconds=0.05), [way]).passed


def test_nothing_is_left_in_the_temporary_folder(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run_program("open('x', 'w').write('x')", QUICK, [way])
    assert os.listdir(tmp_path) == []


def test_a_killed_evaluation_leaves_no_program_behind(way: str, tmp_path: Path) -> None:
    started = tmp_path / "started"
    program = "from pathlib import Path\nfrom packtrain.evaluation.sandbox import run\n"
    program += f"Path({str(started)!r}).touch()\nrun.run_program('import time; time.sleep(60)', ways=[{way!r}])"
    with subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "TMPDIR": str(tmp_path)}) as evaluation:
        wait_for(lambda: started.exists() and bool(running()))
        time.sleep(0.3)  # until the program sleeps
        evaluation.kill()
    wait_for(lambda: not running())


def test_a_jail_without_its_parent_would_be_seen() -> None:
    """What the tests above look with."""
    child = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', {JAIL!r}])"
    assert not running()
    subprocess.run([sys.executable, "-c", child], check=True)
    (orphan,) = running()
    orphan.kill()
    wait_for(lambda: not running())


def wait_for(done: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)
