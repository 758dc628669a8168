"""profile=true: two steps pass, three are recorded → runs/NAME/profile/: a trace, the ten costliest operations, memory

The trace opens in Perfetto (ui.perfetto.dev) and in TensorBoard's profiler. The layer written by hand stands in it as
ManualLayer and ManualLayerBackward, the loss as LinearCrossEntropy. On CUDA a snapshot of the allocator is written
beside it (pytorch.org/memory_viz opens it). Recording only watches: no random number is drawn and no state kept, so a
run that is resumed afterwards ends as one that was never profiled.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

SKIPPED, RECORDED, ROWS = 2, 3, 10


@dataclass(frozen=True)
class Operation:
    """One kind of operation over the recorded steps. `seconds`: its own, without those that it calls."""

    name: str
    calls: int
    seconds: float
    share: float


class Profile(Callback):
    """Records once a process; what is in the folder from before stays."""

    def __init__(self, run_dir: str | Path) -> None:
        self.folder = Path(run_dir) / "profile"
        self.profiler: torch.profiler.profile | None = None
        self.first = self.last = 0
        self.done = False

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> int | None:
        step = trainer.global_step  # steps done
        if self.done:
            return None
        if self.last == 0:
            left = max(1, trainer.max_steps - step)
            self.first = step + min(SKIPPED, left - 1)
            self.last = min(self.first + RECORDED, step + left)
        if step == self.first and self.profiler is None:
            self._begin(pl_module.device)
        return None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.profiler is None:
            return
        if trainer.global_step >= self.last:
            self._finish(trainer, pl_module.device)
        else:
            self.profiler.step()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.profiler is not None:  # stopped in the middle: what was recorded is kept
            self.last = trainer.global_step
            self._finish(trainer, pl_module.device)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if self.profiler is not None:
            self.profiler.stop()
            self.profiler, self.done = None, True

    def _begin(self, device: torch.device) -> None:
        os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # its notes on itself are no news to our user
        activities = [torch.profiler.ProfilerActivity.CPU]
        if device.type == "cuda":
            activities.append(torch.profiler.ProfilerActivity.CUDA)
            torch.cuda.memory._record_memory_history(max_entries=100_000)
        self.profiler = torch.profiler.profile(activities=activities, profile_memory=True, record_shapes=True)
        self.profiler.start()

    def _finish(self, trainer: Trainer, device: torch.device) -> None:
        assert self.profiler is not None
        if device.type == "cuda":
            torch.cuda.synchronize()
        profiler, self.profiler, self.done = self.profiler, None, True
        profiler.stop()
        if not trainer.is_global_zero:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"step-{self.first + 1:08d}"
        steps = max(1, self.last - self.first)
        if device.type == "cuda":
            self._publish(f"{name}.memory.pickle", lambda path: torch.cuda.memory._dump_snapshot(str(path)))
            torch.cuda.memory._record_memory_history(enabled=None)
        trace = self._publish(f"{name}.pt.trace.json", lambda path: profiler.export_chrome_trace(str(path)))
        text = table(costliest(profiler.key_averages(), device.type), steps)
        self._publish(f"{name}.operations.txt", lambda path: path.write_text(text + "\n"))
        print(f"{text}\nprofile of steps {self.first + 1} to {self.last}: {trace} (Perfetto or TensorBoard opens it)")

    def _publish(self, name: str, write: Any) -> Path:
        path = self.folder / name
        draft = path.with_name(f"tmp-{name}")
        write(draft)
        return draft.replace(path)


def costliest(events: Iterable[Any], device_type: str, rows: int = ROWS) -> list[Operation]:
    """The `rows` operations with the most time of their own: on the CPU, or of kernels on CUDA."""

    def own(event: Any) -> float:
        return (event.self_device_time_total if device_type == "cuda" else event.self_cpu_time_total) / 1e6

    found = [event for event in events if not event.key.startswith("ProfilerStep")]
    together = sum(map(own, found)) or 1.0
    found.sort(key=own, reverse=True)
    return [Operation(event.key, event.count, own(event), own(event) / together) for event in found[:rows]]


def table(operations: list[Operation], steps: int) -> str:
    """Milliseconds and calls a step, and the share of all."""
    names = [o.name if len(o.name) <= 60 else o.name[:59] + "…" for o in operations]
    width = max(map(len, [*names, "operation"]))
    lines = [f"{'operation':{width}}  ms/step  calls/step  share", "─" * (width + 28)]
    for name, o in zip(names, operations, strict=True):
        lines.append(f"{name:{width}}  {1000 * o.seconds / steps:7.2f}  {o.calls / steps:10.1f}  {o.share:5.1%}")
    return "\n".join(lines)
