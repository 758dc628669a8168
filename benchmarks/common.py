"""cases ─interleaved rounds→ seconds a step: medians, spread        one step ─→ peak bytes of tensors
rows ─→ a table on the screen, benchmarks/results/<name>-<machine>.json {machine, versions, commit, results}

A program here is run as `python -m benchmarks.NAME`. Machines are noisy and drift, so implementations are never timed
one after the other: every round runs each of them for a few steps, in an order that turns, and medians are compared.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import importlib.metadata
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # the profiler's notes on itself
ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "packtrain", "torch", "numpy", "lightning", "transformers", "litgpt", "llama_cpp_python", "xformers", "triton",
)  # fmt: skip


@dataclass(frozen=True)
class Timing:
    """Seconds a step of one case, one figure a round: on the clock, and of CPU time over all threads."""

    rounds: tuple[float, ...]
    cpu: tuple[float, ...] = ()

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    @property
    def spread(self) -> float:
        """Half the distance from the fastest to the slowest round, over the median."""
        return (max(self.rounds) - min(self.rounds)) / 2 / self.median

    def row(self, tokens: int | None = None) -> dict[str, Any]:
        """Columns of a row; with `tokens` a step, tokens/s as well."""
        found: dict[str, Any] = {"seconds_per_step": self.median, "spread": self.spread, "rounds": len(self.rounds)}
        if self.cpu:  # what other load on the machine disturbs less than the clock
            found["cpu_seconds_per_step"] = statistics.median(self.cpu)
        return found if tokens is None else {**found, "tokens_per_second": tokens / self.median}


def interleave(
    cases: Mapping[str, Callable[[], Any]], rounds: int, steps: int = 1, warmup: int = 1, say: bool = True
) -> dict[str, Timing]:
    """Time every case `steps` times in each of `rounds` rounds, A B C, B C A, …, after `warmup` steps of each.

    The garbage collector runs between cases, never inside one. On CUDA the device is waited for at both ends.
    """
    names = list(cases)
    for name in names:
        for _ in range(warmup):
            cases[name]()
    found: dict[str, list[float]] = {name: [] for name in names}
    cpu: dict[str, list[float]] = {name: [] for name in names}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for number in range(rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                gc.collect()
                _wait()
                begin, busy = time.perf_counter(), time.process_time()
                for _ in range(steps):
                    cases[name]()
                _wait()
                found[name].append((time.perf_counter() - begin) / steps)
                cpu[name].append((time.process_time() - busy) / steps)
            if say and sys.stderr.isatty():
                print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
    finally:
        if collecting:
            gc.enable()
    if say and sys.stderr.isatty():
        print(file=sys.stderr)
    return {name: Timing(tuple(found[name]), tuple(cpu[name])) for name in names}


def ratio(this: Sequence[float], other: Sequence[float]) -> float:
    """Median over rounds of this over other: both of a round met the same machine."""
    return statistics.median(a / b for a, b in zip(this, other, strict=True))


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_bytes(step: Callable[[], Any]) -> int:
    """The most bytes of tensors that `step` holds at once beyond those that were there before it."""
    return tensor_bytes(step)[0]


def held_bytes(step: Callable[[], Any]) -> int:
    """The bytes of tensors that are there after `step`, with its result kept, and were not before."""
    return tensor_bytes(step)[1]


def tensor_bytes(step: Callable[[], Any]) -> tuple[int, int]:
    """(peak, held) of `step`. On CUDA the allocator's own count. On CPU every allocation and release that the profiler
    sees, eager or compiled; scratch of the matrix library is not a tensor and not in it.
    """
    gc.collect()
    if torch.cuda.is_available():
        _wait()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        result = step()
        _wait()
        held = torch.cuda.memory_allocated() - before
        del result
        return torch.cuda.max_memory_allocated() - before, held
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profiler:
        result = step()
    del result
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    changes = [e for e in events if e.get("name") == "[memory]" and "Bytes" in e["args"]]
    live = most = 0
    sizes: dict[int, int] = {}
    for change in sorted(changes, key=lambda e: e["ts"]):
        address, size = change["args"]["Addr"], change["args"]["Bytes"]
        if size > 0:
            sizes[address] = size
            live += size
        else:
            live -= sizes.pop(address, 0)  # what was there before the step is not counted when it goes
        most = max(most, live)
    return most, live


MATRIX_PRODUCTS = ("aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm", "aten::baddbmm")


def matrix_share(step: Callable[[], Any]) -> float:
    """Share of a step's time that is spent in matrix products, 0 to 1: what no better code around them can win back."""
    cuda = torch.cuda.is_available()
    activities = [torch.profiler.ProfilerActivity.CPU, *([torch.profiler.ProfilerActivity.CUDA] if cuda else [])]
    with torch.profiler.profile(activities=activities) as profiler:
        step()
        _wait()
    events = [e for e in profiler.key_averages() if e.device_type.name == "CPU"]  # not kernels again
    own = {event.key: event.self_device_time_total if cuda else event.self_cpu_time_total for event in events}
    return sum(own.get(name, 0.0) for name in MATRIX_PRODUCTS) / (sum(own.values()) or 1.0)


def machine() -> dict[str, Any]:
    """What ran: CPU, threads, memory, GPU."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "cpu": _cpu(), "cpus": os.cpu_count(), "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(), "memory_gb": round(memory / 1e9, 1), "gpu": gpu,
        "system": f"{platform.system()} {platform.machine()}",
    }  # fmt: skip


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else platform.processor() or "unknown"


def machine_name() -> str:
    """`amd-epyc-2cpu`, `nvidia-h200`: the part of a result file's name."""
    found = machine()
    name = found["gpu"] or f"{found['cpu']} {found['cpus']}cpu"
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def versions() -> dict[str, str]:
    """Of Python and of the packages that are installed here."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """The commit measured, with `+changes` where files differ from it; None outside a checkout."""
    try:
        head = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True)
        dirty = subprocess.run(
            ["git", "-C", str(ROOT), "status", "--porcelain", "--", "src", "conf", "benchmarks/*.py"],
            capture_output=True, text=True,
        )  # fmt: skip
    except OSError:
        return None
    return None if head.returncode else head.stdout.strip() + ("+changes" if dirty.stdout.strip() else "")


def write_results(name: str, rows: Sequence[Mapping[str, Any]], arguments: argparse.Namespace, **facts: Any) -> Path:
    """benchmarks/results/<name>-<machine>.json (or under --out), by rename; `facts` stand beside the results."""
    folder = Path(arguments.out)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{machine_name()}.json"
    document = {
        "benchmark": name, "date": datetime.date.today().isoformat(), "quick": arguments.quick, "machine": machine(),
        "versions": versions(), "commit": commit(), **facts, "results": [dict(row) for row in rows],
    }  # fmt: skip
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(document, indent=1) + "\n")
    draft.replace(path)
    print(f"→ {path}")
    return path


def table(rows: Sequence[Mapping[str, Any]], columns: Iterable[str] | None = None) -> str:
    """Rows as text, one column for each key (or for `columns`); missing values are dashes."""
    names = list(columns) if columns is not None else list(dict.fromkeys(key for row in rows for key in row))
    cells = [names, *([_cell(name, row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[n]) for line in cells) for n in range(len(names))]
    numeric = [all(isinstance(row.get(name), (int, float, type(None))) for row in rows) for name in names]
    lines = ["  ".join(c.rjust(w) if n else c.ljust(w) for c, w, n in zip(line, widths, numeric, strict=True)).rstrip()
             for line in cells]  # fmt: skip
    return "\n".join([lines[0], "─" * (sum(widths) + 2 * (len(widths) - 1)), *lines[1:]])


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("bytes"):
        return f"{value / 1e6:,.1f} MB"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def parser(description: str | None) -> argparse.ArgumentParser:
    """--quick, --rounds, --threads, --out: what every program here understands. `description`: its docstring."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="a tiny shape in seconds: shows that the program runs")
    made.add_argument("--rounds", type=int, default=None, help="interleaved rounds (default: the program's own)")
    made.add_argument("--threads", type=int, default=None, help="CPU threads (default: PyTorch's own)")
    made.add_argument("--out", default=str(ROOT / "benchmarks" / "results"), help="folder of the results")
    return made


def parse(made: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments, with --threads carried out and a --quick run kept away from the results that count."""
    arguments = made.parse_args(argv)
    if arguments.quick and arguments.out == made.get_default("out"):
        arguments.out = tempfile.mkdtemp(prefix="benchmark-quick-")
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    return arguments
