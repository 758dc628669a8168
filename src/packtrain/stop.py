"""a signal to stop → a flag, which the trainer reads between two steps; elsewhere SIGTERM → what Ctrl-C does

The trainer's handlers only set the flag: nothing is saved, printed or imported inside one. A batch script that names
its signal in PACKTRAIN_STOP_SIGNAL starts the program with that signal and SIGTERM blocked; `listen_early` is called
before anything heavy is imported, sets the handlers and lets the signals through, so that none falls between.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

VARIABLE = "PACKTRAIN_STOP_SIGNAL"
IMPATIENCE_SECONDS = 0.5  # a terminal and a launcher may both pass on one Ctrl-C

_received: int | None = None
_late: int | None = None
_received_at = 0.0
_before: dict[int, Any] = {}


class Terminated(KeyboardInterrupt):
    """A SIGTERM: it ends a command as Ctrl-C does, so that nothing half-made is left behind."""


class Told(KeyboardInterrupt):
    """One that a line on the screen has said already."""


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM raises `Terminated` within, once, where nobody hears it yet.

    Not in one of several processes: it may wait for the others, where no Python handler is run. A process that is
    forked within dies of the signal, as ever.
    """
    free = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if not free or int(os.environ.get("WORLD_SIZE", "1")) > 1:
        yield
        return
    own = os.getpid()

    def end(number: int, frame: Any) -> None:
        if os.getpid() != own:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        signal.signal(number, signal.SIG_IGN)  # the first one is being obeyed
        raise Terminated

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def signals() -> tuple[int, ...]:
    """What asks to stop: Ctrl-C, SIGTERM, and the batch script's own signal."""
    own = getattr(signal, f"SIG{os.environ.get(VARIABLE, '')}", None)
    return (signal.SIGINT, signal.SIGTERM, *([own] if own is not None else []))


def received() -> int | None:
    """The first signal that came, or None."""
    return _received


def late() -> int | None:
    """What the last that listened had heard as it ended, or None: a run's last step, say, after which nothing asks."""
    return _late


def listen_early() -> None:
    """Under a batch script of ours: hear its signals from now on, those that already wait included."""
    if os.environ.get(VARIABLE) and threading.current_thread() is threading.main_thread():
        early = [number for number in signals() if number != signal.SIGINT]
        for number in early:
            signal.signal(number, _note)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, early)


def listen() -> None:
    """Hear all of them; `restore` gives them back. A second Ctrl-C stops at once, other repetitions change nothing."""
    global _late
    _late = None
    for number in signals():
        before = signal.signal(number, _note)
        if before is not _note:
            _before[number] = before


def restore() -> None:
    """Forget what was heard, and hear no more."""
    global _received, _late
    _received, _late = None, _received
    for number, handler in _before.items():
        signal.signal(number, handler)
    _before.clear()


def _note(number: int, frame: Any) -> None:
    global _received, _received_at
    now = time.monotonic()
    if _received is None:
        _received, _received_at = number, now
    elif number == signal.SIGINT and now - _received_at > IMPATIENCE_SECONDS:
        raise KeyboardInterrupt
