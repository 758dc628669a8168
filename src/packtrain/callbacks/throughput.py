"""clock around the steps → tokens/s, step time, MFU

Time counts from one logged step to the next, without validation and checkpoints (`paused_seconds`), so that waiting
for data is in it. The device is waited for at logged steps only.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer

from packtrain.callbacks.meter import Meter
from packtrain.estimate.flops import flops_per_token
from packtrain.estimate.throughput import mfu
from packtrain.training.peak import Peak, find_peak

CONVENTION = "6N+attention"


class Throughput(Meter):
    """Tokens/s over all ranks, seconds a step, and MFU = tokens/s × FLOPs per token (6N + attention) / peak FLOP/s.

    Without a known peak no MFU is logged and one line says so. `seconds` and `tokens` are summed over resumes.
    """

    def __init__(self) -> None:
        self.peak: Peak | None = None
        self.seconds = 0.0
        self.steps = 0
        self.wall_seconds = 0.0
        self._since = self._wall_since = 0.0
        self._paused_at = 0.0
        self._last_step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module: Any = pl_module
        self.peak = find_peak(module.device, module.model.compute_dtype)  # again: a resumed run may have moved
        if self.peak is None:
            print(f"peak FLOP/s of {module.device} in this precision is not known: MFU is not logged", flush=True)
        self._last_step = trainer.global_step
        self._since = self._wall_since = time.perf_counter()
        self._paused_at = module.paused_seconds

    def measure(self, step: int, trainer: Trainer, module: Any) -> dict[str, float]:
        if step == self._last_step:
            return {}
        if module.device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        paused = module.paused_seconds - self._paused_at
        seconds, steps = max(1e-9, now - self._since - paused), step - self._last_step
        self.seconds, self.steps = self.seconds + seconds, self.steps + steps
        self._since, self._last_step, self._paused_at = now, step, module.paused_seconds
        tokens = steps * module.steps.batch_tokens
        row = {"throughput/tokens_per_second": tokens / seconds, "throughput/step_seconds": seconds / steps}
        share = self._mfu(tokens, seconds, module)
        return row if share is None else {**row, "throughput/mfu": share}

    def _mfu(self, tokens: float, seconds: float, module: Any) -> float | None:
        if self.peak is None:
            return None
        flops = flops_per_token(module.model.config, module.steps.sequence_length, CONVENTION)
        return mfu(tokens, seconds, flops, self.peak.flops * module.parallel.world.size)

    def _wall(self) -> float:
        now = time.perf_counter()
        if self._wall_since:
            self.wall_seconds += now - self._wall_since
            self._wall_since = now
        return self.wall_seconds

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure a CPU's peak again: beside other load the first one can come out too low, and MFU too high."""
        module: Any = pl_module
        again = find_peak(module.device, module.model.compute_dtype)
        if self.peak and again and again.flops > self.peak.flops:
            self.peak = again

    def summarise(self, module: Any) -> dict[str, Any]:
        tokens = self.steps * module.steps.batch_tokens
        return {
            "tokens_per_second": tokens / self.seconds if self.seconds else None,
            "training_seconds": self.seconds,
            "wall_seconds": self._wall(),
            "mfu": self._mfu(tokens, self.seconds, module) if self.seconds else None,
            "mfu_convention": CONVENTION,
            "peak_flops": self.peak.flops if self.peak else None,
            "peak_source": self.peak.source if self.peak else None,
        }

    def state_dict(self) -> dict[str, Any]:
        peak = [self.peak.flops, self.peak.source] if self.peak else None
        return {"seconds": self.seconds, "steps": self.steps, "wall_seconds": self._wall(), "peak": peak}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds, self.steps = state_dict["seconds"], state_dict["steps"]
        self.wall_seconds = state_dict["wall_seconds"]
        self.peak = Peak(*state_dict["peak"]) if state_dict["peak"] else None
