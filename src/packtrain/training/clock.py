"""marks in a step → seconds of each phase; on a GPU by events in its stream, read when they have long passed

    data ─→ compute ─→ optimiser ─→ now and then: checkpoint, validation, logging ─→ data …

compute is forward and backward of all micro-batches, optimiser the clipping (with its message between ranks) and AdamW,
data what the step waits for its batch. A GPU is behind its host: the host's wait for the loader delays it only as far
as its stream ran dry, so of that wait no more than the gap between two steps is counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch

PHASES = ("data", "compute", "optimiser", "checkpoint", "validation", "logging")
PAUSES = ("checkpoint", "validation")  # not part of a step's time


class StepClock:
    """`begin`, `update`, `end` in every step; `add` around a pause. Seconds since it was made are in `seconds`.

    `event` makes one of CUDA's timing events; without it the host's clock is read.
    """

    def __init__(self, event: Callable[[], Any] | None = None) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(PHASES, 0.0)
        self.settled_at = perf_counter()
        self._event = event
        self._marks: list[Any] = []
        self._pending: deque[tuple[list[Any], float]] = deque()  # the three marks of a step, its wait for data
        self._last: Any = None  # the end of the last step that was read
        self._free: list[Any] = []

    @property
    def paused(self) -> float:
        return sum(self.seconds[phase] for phase in PAUSES)

    def add(self, phase: str, seconds: float) -> None:
        self.seconds[phase] += seconds

    def begin(self) -> None:
        self._marks = [self._mark()]

    def update(self) -> None:
        self._marks.append(self._mark())

    def end(self, waited: float = 0.0) -> None:
        """The step's kernels are under way; the host waited so many seconds for its batch. Never waits for a device."""
        self._marks.append(self._mark())
        self._pending.append((self._marks, waited))
        self._read(lambda mark: self._event is None or mark.query())

    def settle(self, device: torch.device) -> None:
        """Waits for the device and reads what is left: at logged steps. What follows is logging."""
        if device.type == "cuda":
            torch.cuda.synchronize()
        self._read(lambda _: True)
        self.settled_at = perf_counter()

    def _mark(self) -> Any:
        if self._event is None:
            return perf_counter()
        mark = self._free.pop() if self._free else self._event()
        mark.record()
        return mark

    def _read(self, passed: Callable[[Any], bool]) -> None:
        while self._pending and passed(self._pending[0][0][2]):
            (begin, update, end), waited = self._pending.popleft()
            gap = waited if self._event is None or self._last is None else self._between(self._last, begin)
            self.seconds["data"] += min(waited, gap)
            self.seconds["compute"] += self._between(begin, update)
            self.seconds["optimiser"] += self._between(update, end)
            if self._event is not None:
                self._free += [begin, update] if self._last is None else [self._last, begin, update]
            self._last = end

    def _between(self, first: Any, second: Any) -> float:
        return second - first if self._event is None else first.elapsed_time(second) / 1000
