"""clock around the steps → tokens/s, where a step's time goes, MFU, HFU, peak memory, time left, goodput

A row counts from one logged step to the next, without validation and checkpoints, so that waiting for data is in it.
The device is waited for at logged steps only; within a step it is timed by events (`training/clock.py`).
"""

from __future__ import annotations

import resource
import sys
import time
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer

from packtrain.callbacks.meter import Meter
from packtrain.callbacks.totals import read_totals, update_totals
from packtrain.estimate.flops import flops_per_token, hardware_flops
from packtrain.estimate.throughput import mfu
from packtrain.training.clock import PHASES, StepClock
from packtrain.training.peak import Peak, find_peak

CONVENTION = "6N+attention"
GIB = 1 << 30


class Throughput(Meter):
    """Tokens/s over all ranks and per device, and seconds a step by phase.

    MFU = tokens/s × FLOPs per token (6N + attention) / peak FLOP/s; HFU the same with the FLOPs that are really
    executed, recomputation included. Without a known peak neither is logged and one line says so; nor is either where
    one would exceed 1, as the peak that was measured on a busy CPU is too low.
    Goodput = seconds of forward, backward and optimiser of the steps that the run still has, over all seconds since it
    was first started: what a kill or a rewind undid, and the time until the restart, are no goodput.
    """

    def __init__(self) -> None:
        self.peak: Peak | None = None
        self.seconds = 0.0
        self.steps = 0
        self.phases: dict[str, float] = dict.fromkeys(PHASES, 0.0)  # of the steps that the run still has
        self.memory = 0.0
        self.wall_before = self.device_before = 0.0  # of earlier processes
        self.first_start = 0.0
        self._clock: StepClock | None = None
        self._seen = dict(self.phases)  # of the module's clock, at the last row
        self._since = self._start = 0.0
        self._warm: tuple[float, int] | None = None  # after the first step of this process: when, and which
        self._last_step = 0
        self._size = 1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module: Any = pl_module
        world = module.parallel.world
        self._size = world.size
        self.peak = self._find_peak(module)  # again: a resumed run may have moved
        if self.peak is None and not module.quiet:
            print(f"{self._why_no_mfu(module)}: MFU is not logged", flush=True)
        totals = world.share(read_totals(module.run_dir) if module.run_dir else {})
        self.first_start = totals.get("first_start") or time.time() - self.wall_before
        self.wall_before = max(self.wall_before, totals.get("wall_seconds", 0.0))
        self.device_before = max(self.device_before, totals.get("device_seconds", 0.0))
        if world.first:
            update_totals(module.run_dir, first_start=self.first_start, starts=totals.get("starts", 0) + 1)
        self._last_step, self._warm = trainer.global_step, None
        self._since = self._start = time.perf_counter()
        self._clock, self._seen = module.clock, dict(module.clock.seconds)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._warm is None:
            self._warm = time.perf_counter(), trainer.global_step

    def measure(self, step: int, trainer: Trainer, module: Any) -> dict[str, float]:
        if step == self._last_step:
            return {}
        now = module.clock.settled_at
        spent = {phase: total - self._seen[phase] for phase, total in module.clock.seconds.items()}
        pauses = spent["checkpoint"] + spent["validation"]
        seconds, steps = max(1e-9, now - self._since - pauses), step - self._last_step
        self.seconds, self.steps = self.seconds + seconds, self.steps + steps
        self.phases = {phase: self.phases[phase] + spent[phase] for phase in PHASES}
        self._since, self._last_step, self._seen = now, step, dict(module.clock.seconds)
        tokens = steps * module.steps.batch_tokens
        world = module.parallel.world
        self.memory = max(self.memory, *world.gather(_memory(module.device)))
        if world.first:
            update_totals(module.run_dir, wall_seconds=self._wall(), device_seconds=self._device_seconds())
        row = {
            "tokens_per_second": tokens / seconds,
            "tokens_per_second_per_device": tokens / seconds / self._size,
            "step_seconds": seconds / steps,
            "memory_peak_gib": self.memory / GIB,
            "goodput": self._goodput(),
        }
        other = max(0.0, seconds + pauses - sum(spent.values()))
        row |= {f"seconds/{phase}": value / steps for phase, value in {**spent, "other": other}.items()}
        left, shares = self._left(now, step, module.steps.total), self._utilisation(tokens, seconds, module)
        more = {**shares, "seconds_left": left}
        row |= {name: value for name, value in more.items() if value is not None}
        return {f"throughput/{name}": value for name, value in row.items()}

    @staticmethod
    def _cheaper(module: Any) -> str | None:
        """Why a token of this run costs less than the convention counts, or None: then there is no MFU to be told."""
        if not all(parameter.requires_grad for parameter in module.model.parameters()):
            return "frozen weights have no gradients, so a token costs less than 6N FLOPs"
        if module.masked:
            return "tokens that are only read have no logits, so a token costs less than 6N FLOPs"
        return None

    def _find_peak(self, module: Any) -> Peak | None:
        """None for products in eight bits, too: their peak is another than bf16's, and not all are in eight."""
        without = module.model.engine.fp8 or self._cheaper(module)
        return None if without else find_peak(module.device, module.model.compute_dtype)

    def _why_no_mfu(self, module: Any) -> str:
        return self._cheaper(module) or f"peak FLOP/s of {module.device} in this precision is not known"

    def _utilisation(self, tokens: float, seconds: float, module: Any) -> dict[str, float | None]:
        if self.peak is None or not seconds:
            return {"mfu": None, "hfu": None}
        config, length, peak = module.model.config, module.steps.sequence_length, self.peak.flops * self._size
        executed = hardware_flops(config, length, module.model.engine.recompute).total
        found = {
            "mfu": mfu(tokens, seconds, flops_per_token(config, length, CONVENTION), peak),
            "hfu": mfu(tokens, seconds, executed, peak),
        }
        if any(share is not None and share > 1 for share in found.values()):  # then the peak was measured too low
            return {"mfu": None, "hfu": None}
        return found

    def _left(self, now: float, step: int, total: int) -> float | None:
        """Pauses included; the first step of a process, which may compile, left out."""
        if self._warm is None or step <= self._warm[1]:
            return 0.0 if step == total else None
        return (now - self._warm[0]) / (step - self._warm[1]) * (total - step)

    def _goodput(self) -> float:
        phases = self._phases()
        good = phases["compute"] + phases["optimiser"]
        return min(1.0, good / max(1e-9, time.time() - self.first_start, good))

    def _phases(self) -> dict[str, float]:
        """With what the module's clock has seen since the last row."""
        if self._clock is None:
            return self.phases
        return {phase: self.phases[phase] + self._clock.seconds[phase] - self._seen[phase] for phase in PHASES}

    def _wall(self) -> float:
        return self.wall_before + (time.perf_counter() - self._start if self._start else 0.0)

    def _device_seconds(self) -> float:
        return self.device_before + self._size * (time.perf_counter() - self._start if self._start else 0.0)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure a CPU's peak again: beside other load the first one can come out too low, and MFU too high."""
        again = self._find_peak(pl_module)
        if self.peak and again and again.flops > self.peak.flops:
            self.peak = again

    def summarise(self, module: Any) -> dict[str, Any]:
        tokens = self.steps * module.steps.batch_tokens
        return {
            "tokens_per_second": tokens / self.seconds if self.seconds else None,
            "training_seconds": self.seconds,
            "wall_seconds": self._wall(),
            "devices": self._size,
            "device_hours": self._device_seconds() / 3600,
            **self._utilisation(tokens, self.seconds, module),
            "mfu_convention": CONVENTION,
            "mfu_unknown": None if self.peak else self._why_no_mfu(module),
            "peak_flops": self.peak.flops if self.peak else None,
            "peak_source": self.peak.source if self.peak else None,
            "seconds": self._phases(),
            "goodput": self._goodput(),
            "memory_peak_gib": self.memory / GIB,
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            "seconds": self.seconds,
            "steps": self.steps,
            "phases": self._phases(),
            "memory": self.memory,
            "wall_seconds": self._wall(),
            "device_seconds": self._device_seconds(),
            "peak": [self.peak.flops, self.peak.source] if self.peak else None,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds, self.steps = state_dict["seconds"], state_dict["steps"]
        self.phases = {**dict.fromkeys(PHASES, 0.0), **state_dict.get("phases", {})}
        self.memory = state_dict.get("memory", 0.0)
        self.wall_before = state_dict["wall_seconds"]
        self.device_before = state_dict.get("device_seconds", 0.0)
        self.peak = Peak(*state_dict["peak"]) if state_dict["peak"] else None
        self._start, self._clock = 0.0, None  # one object may be resumed twice in a process


def _memory(device: torch.device) -> float:
    """Peak bytes: CUDA's tensors of this process; on a CPU all that the process held."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)
