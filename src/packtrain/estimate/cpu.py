"""this machine's CPU → a row of the hardware table: a short matrix product and a copy, measured when asked for

Half a second of numpy in fp32 on all cores. Its power is a guess of so many watts a thread (`power.py`) and named so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from packtrain.estimate.hardware import Gpu
from packtrain.estimate.power import GUESSED_WATTS_PER_THREAD


def measured_cpu(size: int = 1024, seconds: float = 0.25) -> Gpu:
    """fp32 FLOP/s of the best of many size³ products, bytes/s of the best of many 64 MB copies (read + write)."""
    import numpy
    import psutil

    draw = numpy.random.default_rng(0)
    a, b = (draw.random((size, size), dtype=numpy.float32) for _ in range(2))
    out = numpy.empty_like(a)
    flops = 2.0 * size**3 / best(lambda: numpy.matmul(a, b, out=out), seconds)
    source, target = numpy.ones(1 << 24, dtype=numpy.float32), numpy.empty(1 << 24, dtype=numpy.float32)
    moved = 2.0 * source.nbytes / best(lambda: numpy.copyto(target, source), seconds)
    threads = os.cpu_count() or 1
    memory = psutil.virtual_memory().total / 1e9
    return Gpu(
        "cpu", "cpu", flops, memory, moved / 1e9, moved / 1e9, threads * GUESSED_WATTS_PER_THREAD, "",
        f"measured now: fp32 matrix product and copy on {threads} threads; power guessed at "
        f"{GUESSED_WATTS_PER_THREAD:g} W a thread",
    )  # fmt: skip


def best(action: Callable[[], object], seconds: float) -> float:
    """The shortest of the repetitions that fit into `seconds`, at least three."""
    least, end, count = float("inf"), time.perf_counter() + seconds, 0
    while count < 3 or time.perf_counter() < end:
        begin = time.perf_counter()
        action()
        least = min(least, time.perf_counter() - begin)
        count += 1
    return least
