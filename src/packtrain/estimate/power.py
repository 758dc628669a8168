"""what draws the power here → joules so far, and whether they were measured, rated or guessed

measured   a counter: NVML's for NVIDIA GPUs, RAPL's for CPUs, where the kernel lets us read it
rated      the board's maximum from the hardware table × time
guessed    a stated number of watts per hardware thread × time: no sensor, no table, only the order of magnitude
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from packtrain.estimate.hardware import lookup

Source = Literal["measured", "rated", "guessed"]
POWERCAP = Path("/sys/class/powercap")
GUESSED_WATTS_PER_THREAD = 5.0  # servers of 2020–2025 are sold at 180–350 W for 64–128 threads, laptops at 28 W for 8


class Meter(Protocol):
    """Joules drawn since the meter was made; `source` is the word to print beside them, `detail` the sentence."""

    source: Source
    detail: str

    def joules(self) -> float: ...


@dataclass
class SteadyMeter:
    """Constant watts × the time that has passed."""

    watts: float
    source: Source
    detail: str
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._start = self.clock()

    def joules(self) -> float:
        return self.watts * (self.clock() - self._start)


class RaplMeter:
    """Intel's and AMD's counters of the CPU packages (energy_uj, microjoules, which wrap at max_energy_range_uj)."""

    source: Source = "measured"

    def __init__(self, zones: Sequence[Path]) -> None:
        self._zones = list(zones)
        self._last = [_number(zone / "energy_uj") for zone in self._zones]
        self._range = [_number(zone / "max_energy_range_uj") for zone in self._zones]
        self._total_uj = 0
        self.detail = f"RAPL counters of {len(self._zones)} CPU package(s), memory and disks not included"

    def joules(self) -> float:
        """To be asked at least every quarter of an hour: at 300 W a counter of 262 kJ wraps in that time."""
        for i, zone in enumerate(self._zones):
            try:
                now = _number(zone / "energy_uj")
            except (OSError, ValueError):  # a counter that fails must not end a run; the next reading has the rest
                continue
            step = now - self._last[i]
            self._total_uj += step if step >= 0 else step + self._range[i] + 1
            self._last[i] = now
        return self._total_uj / 1e6


class NvmlMeter:
    """NVML's total energy counter (millijoules since the driver was loaded) of some GPUs."""

    source: Source = "measured"

    def __init__(self, nvml: Any, handles: Sequence[Any]) -> None:
        self._nvml, self._handles = nvml, list(handles)
        self._last = self._start = self._read()
        self.detail = f"NVML energy counter of {len(self._handles)} GPU(s), CPU and memory not included"

    def _read(self) -> int:
        return sum(self._nvml.nvmlDeviceGetTotalEnergyConsumption(handle) for handle in self._handles)

    def joules(self) -> float:
        with contextlib.suppress(Exception):  # a counter that fails must not end a run: the next reading has the rest
            self._last = max(self._last, self._read())
        return (self._last - self._start) / 1e3


def gpu_meter(names: Sequence[str], uuids: Sequence[str] = (), nvml: Any = None) -> Meter | None:
    """The meter of the GPUs that torch calls `names` (and `uuids`): NVML, else as rated, else None.

    `nvml` is the module pynvml (package nvidia-ml-py) and imported here where it is not given.
    """
    try:
        if nvml is None:
            import pynvml as nvml  # pyright: ignore[reportMissingImports]
        nvml.nvmlInit()
        if uuids:
            full = (u if u.startswith(("GPU-", "MIG-")) else f"GPU-{u}" for u in uuids)
            handles = [nvml.nvmlDeviceGetHandleByUUID(uuid) for uuid in full]
        else:
            handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(len(names))]
        if handles:
            return NvmlMeter(nvml, handles)
    except Exception:  # no driver, no permission, a GPU without the counter: each has its own error class in NVML
        pass
    found = [gpu for gpu in map(lookup, names) if gpu is not None]
    if not names or len(found) < len(names):
        return None
    watts = sum(gpu.rated_watts for gpu in found)
    return SteadyMeter(watts, "rated", f"{watts:.0f} W, the rated power of {len(found)} GPU(s)")


def cpu_meter(threads: int | None = None, rated_watts: float | None = None, root: Path = POWERCAP) -> Meter:
    """The meter of the CPUs: RAPL where it may be read, else `rated_watts` where known, else a guess per thread."""
    zones = rapl_zones(root)
    if zones:
        return RaplMeter(zones)
    if rated_watts is not None:
        return SteadyMeter(rated_watts, "rated", f"{rated_watts:g} W, the rated power of the CPU")
    count = threads or os.cpu_count() or 1
    watts = count * GUESSED_WATTS_PER_THREAD
    detail = f"{count} hardware threads × {GUESSED_WATTS_PER_THREAD:g} W = {watts:g} W: no sensor here"
    return SteadyMeter(watts, "guessed", detail)


def open_parts(
    gpu_names: Sequence[str] = (), gpu_uuids: Sequence[str] = (), nvml: Any = None, root: Path = POWERCAP
) -> dict[str, Meter]:
    """`gpu`, where there are GPUs, and `cpu`: what draws power here, each part with its own meter."""
    parts: dict[str, Meter] = {"cpu": cpu_meter(root=root)}
    if gpu_names:
        unknown = "GPU not counted: it has no counter and no rated power here; give cluster.power_watts=…"
        parts["gpu"] = gpu_meter(gpu_names, gpu_uuids, nvml) or SteadyMeter(0.0, "guessed", unknown)
    return parts


def open_meter(gpu_names: Sequence[str] = (), gpu_uuids: Sequence[str] = ()) -> Meter:
    """The meter of what trains: the GPUs where there are any that we know, else the CPUs."""
    return (gpu_meter(gpu_names, gpu_uuids) if gpu_names else None) or cpu_meter()


def rapl_zones(root: Path = POWERCAP) -> list[Path]:
    """The readable CPU packages (intel-rapl:0, intel-rapl:1, …), without their parts, which they already contain."""
    zones = []
    for zone in sorted(root.glob("intel-rapl:*")):
        try:
            if zone.name.count(":") == 1 and (zone / "name").read_text().strip().startswith("package"):
                for counter in ("energy_uj", "max_energy_range_uj"):
                    _number(zone / counter)
                zones.append(zone)
        except (OSError, ValueError):  # readable by root only on most distributions
            continue
    return zones


def _number(path: Path) -> int:
    return int(path.read_text())
