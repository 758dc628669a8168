"""loss and gradient norm of every step → out of line? → what explains it → log, skip, rewind or stop

    backward → clip → examine ─ in line → AdamW
                         └ spike → spikes/step-00000120.json, TensorBoard's text → on_spike

Where the decision changes the training (all but `log`) the device is waited for before each update. With `log` on a GPU
the numbers are read a step later, when they have arrived by themselves; what is no number never reaches the weights.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from lightning.pytorch import LightningModule, Trainer

from packtrain.callbacks.meter import Meter
from packtrain.callbacks.spike_detector import Detector, Verdict
from packtrain.callbacks.spike_grid import begins_mixture, checkpointing_of, go_back_to
from packtrain.callbacks.spike_record import as_markdown, explain, record_path, write_record
from packtrain.errors import Failure, UserError, did_you_mean
from packtrain.training.module import StepResult
from packtrain.training.rewind import GoBack, Rewind, batch_of, read_rewinds, write_rewind

Action = Literal["log", "skip", "rewind", "stop"]


@dataclass
class Waiting:
    """A step whose numbers are on their way to the host."""

    step: int
    batch: torch.Tensor
    samples: list[int]
    result: StepResult
    numbers: torch.Tensor
    arrived: Any


class LossSpike(Meter):
    """What is out of line: a loss `threshold` deviations above the median of the last `window` steps, a gradient norm
    as far above its own, from `least` steps on; what is no number, always. A change of the mixture begins it anew.

    on_spike: log (record it), skip (the update is not applied), rewind (back to a checkpoint at least `rewind_steps`
    before, then past `skip_batches` batches from there, the spike's among them), stop.
    on_nonfinite: the same for a loss or gradient that is no number; None: as on_spike, and stop where that is log.
    Decisions and window are in the checkpoints: a resumed run decides as an uninterrupted one. A run in which more than
    `limit` updates of one window were skipped, or which went back as often, is stopped. `records`: written at most.
    """

    def __init__(
        self,
        on_spike: Action = "log",
        on_nonfinite: Action | None = None,
        window: int = 128,
        threshold: float = 8.0,
        least: int = 32,
        rewind_steps: int = 100,
        skip_batches: int = 300,
        limit: int = 20,
        records: int = 1000,
    ) -> None:
        name = "callbacks.loss_spike"
        for key, value in (("on_spike", on_spike), ("on_nonfinite", on_nonfinite)):
            if value not in get_args(Action) and not (key == "on_nonfinite" and value is None):
                raise UserError(f"{name}.{key}={value}{did_you_mean(str(value), get_args(Action))}")
        if not 2 <= least <= window or not threshold > 0:
            raise UserError(
                f"{name}: expected 2 ≤ least ≤ window and threshold > 0, not least={least}, window={window}, "
                f"threshold={threshold}: {name}.least={max(2, min(least, window))} goes with that window"
            )
        if rewind_steps < 0 or skip_batches < 1 or limit < 1 or records < 0:
            raise UserError(f"{name}: rewind_steps and records are at least 0, skip_batches and limit at least 1")
        if on_nonfinite == "log":
            end = "such an update would be the end of the weights"
            raise UserError(f"{name}.on_nonfinite=log: {end}; give skip, rewind or stop")
        self.on_spike: Action = on_spike
        self.on_nonfinite: Action = on_nonfinite or ("stop" if on_spike == "log" else on_spike)
        self.rewind_steps, self.skip_batches, self.limit, self.records = rewind_steps, skip_batches, limit, records
        self.detector = Detector(window, threshold, least)
        self.found = 0  # but those that the run went back from: its checkpoint knows nothing of them
        self.skips = 0
        self.skipped: list[int] = []  # of them the steps within the last window
        self.latest = 0  # the last step out of line
        self._waiting: deque[Waiting] = deque()
        self._rewinds: tuple[Rewind, ...] = ()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module: Any = pl_module
        self._trainer, self._module = trainer, module
        self._data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        self._run_dir = Path(module.run_dir)
        self._waiting.clear()
        self._rewinds = self._data.rewinds
        self._deferred = module.device.type == "cuda" and (self.on_spike, self.on_nonfinite) == ("log", "stop")
        module.examiner = self
        if "rewind" in (self.on_spike, self.on_nonfinite) and (saving := checkpointing_of(self._trainer)):
            saving.reach = self.rewind_steps
        for rewind in self._rewinds:  # what went before it is gone from TensorBoard: said where the new steps begin
            if rewind.to == trainer.global_step:
                self._tell(
                    f"rewound from step {rewind.spike}: from here on batch {rewind.next_batch} and later", rewind.to
                )

    def examine(self, step: int, batch: torch.Tensor) -> bool:
        result = self._module.last
        samples = self._samples(step)
        if not self._deferred:
            return self._judge(step, batch, samples, result, float(result.loss), float(result.grad_norm), before=True)
        numbers = torch.stack([result.loss.float(), result.grad_norm.float()]).to("cpu", non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        self._waiting.append(Waiting(step, batch, samples, result, numbers, arrived))
        self._read(lambda waiting: waiting.step < step and waiting.arrived.query())
        return True

    def settle(self) -> None:
        if self._waiting:
            torch.cuda.synchronize()
            self._read(lambda _: True)

    def _read(self, ready: Any) -> None:
        while self._waiting and ready(self._waiting[0]):
            w = self._waiting.popleft()
            self._judge(w.step, w.batch, w.samples, w.result, *w.numbers.tolist(), before=False)

    def _samples(self, step: int) -> list[int]:
        """Of this rank."""
        per_rank = self._module.steps.sequences // self._module.steps.world
        first = batch_of(step - 1, self._rewinds) * self._module.steps.sequences + self._data.rank * per_rank
        return list(range(first, first + per_rank))

    def _judge(
        self, step: int, batch: torch.Tensor, samples: list[int], result: StepResult, loss: float, norm: float,
        before: bool,
    ) -> bool:  # fmt: skip
        """Whether the update is to be applied. Loss and norm are the same on every rank, and so is what follows."""
        if begins_mixture(step, self._data.boundaries):
            self.detector.forget()
        verdict = self.detector.judge(loss, norm)
        self.detector.add(loss, norm)
        if verdict is None:
            return True
        self.found, self.latest = self.found + 1, step
        action: Action = self.on_nonfinite if verdict.kind == "not finite" else self.on_spike
        rewind = self._choose(step) if action == "rewind" else None
        said = {"log": "logged", "skip": "the update was not applied", "stop": "the run was stopped"}.get(action)
        if rewind is not None:
            said = f"went back to step {rewind.to}, on with batch {rewind.next_batch}"
        elif action == "rewind":
            said, action = "no checkpoint to go back to yet: the update was not applied", "skip"
        path = self._explain(step, batch, samples, result, verdict, loss, norm, str(said), before)
        if rewind is not None:
            self._module.parallel.world.on_first(lambda: write_rewind(self._run_dir, rewind))
            raise GoBack(rewind)
        if action == "stop" and verdict.kind == "not finite":
            self._module.fail(step, loss, norm, f"{path} says what the batch held. " if path else "")
        if action == "stop":
            self._leave(
                f"{verdict.why} at step {step}: stopped, as on_spike=stop asks; {path} says what the batch held; "
                "the same command with on_spike=skip or rewind goes on from the last checkpoint"
            )
        if action == "skip":
            window = self.detector.losses.maxlen or 0
            self.skips += 1
            self.skipped = [*(s for s in self.skipped if s > step - window), step]
            if len(self.skipped) > self.limit:
                self._leave(
                    f"{len(self.skipped)} updates of {window} were skipped up to step {step}: the model is at fault, "
                    "not a batch. Go back with on_spike=rewind, or try a lower learning rate under another name="
                )
        return action != "skip"

    def _leave(self, line: str) -> None:
        if not self._module.parallel.world.first:
            raise self._module.parallel.world.follow(1)
        raise Failure(f"{self._run_dir}: {line}")

    def _choose(self, step: int) -> Rewind | None:
        """Where to, and what to read there; None without a checkpoint to go back to."""
        if len(self._rewinds) >= self.limit:
            self._leave(f"another spike at step {step} after {self.limit} rewinds: try a lower learning rate")
        saving, steps = checkpointing_of(self._trainer), self._module.steps
        every = None if saving is None else steps.every(saving.interval_tokens, 50)
        to = self._module.parallel.world.share(go_back_to(self._trainer, self._run_dir, step, every, self.rewind_steps))
        if to is None:
            return None
        later = max(batch_of(to, self._rewinds) + self.skip_batches, batch_of(step - 1, self._rewinds) + 1)
        return Rewind(step, to, later)

    def _explain(
        self, step: int, batch: torch.Tensor, samples: list[int], result: StepResult, verdict: Verdict, loss: float,
        norm: float, action: str, before: bool,
    ) -> Path | None:  # fmt: skip
        """Writes the record; the ranks compute its losses and norms together."""
        if self.found > self.records or not self._module.run_dir:
            return None
        batch_number = batch_of(step - 1, self._rewinds)
        record = explain(self._module, self._data, step, batch, batch_number, samples, result, verdict)
        if record is None:
            return record_path(self._run_dir, step)
        record |= {
            "action": action, "loss": loss, "gradient_norm": norm,
            "losses_by": "the weights before the update" if before else "the weights a step later",
        }  # fmt: skip
        path = write_record(self._run_dir, record)
        self._tell(as_markdown(record), step)
        print(f"step {step}: {verdict.why}; {action}: packtrain spike run={self._run_dir} step={step}", flush=True)
        return path

    def _tell(self, text: str, step: int) -> None:
        for logger in self._trainer.loggers:
            writer = getattr(logger, "experiment", None)
            if hasattr(writer, "add_text"):
                writer.add_text("spikes", text, step)  # pyright: ignore[reportOptionalMemberAccess]

    def due(self, step: int, trainer: Trainer, module: Any) -> bool:
        return step == self.latest

    def measure(self, step: int, trainer: Trainer, module: Any) -> dict[str, float]:
        return {f"spikes/{name}": float(value) for name, value in self._counts(module).items()}

    def _counts(self, module: Any) -> dict[str, int]:
        rewinds = read_rewinds(module.run_dir) if module.run_dir else ()
        return {"found": self.found + len(rewinds), "skipped": self.skips, "rewinds": len(rewinds)}

    def summarise(self, module: Any) -> dict[str, Any]:
        return {"spikes": self._counts(module)}  # of a run that ended before its summary was written, too

    def state_dict(self) -> dict[str, Any]:
        return {
            "losses": list(self.detector.losses),
            "norms": list(self.detector.norms),
            "found": self.found,
            "skips": self.skips,
            "skipped": list(self.skipped),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.detector.losses.clear()
        self.detector.losses.extend(state_dict["losses"])
        self.detector.norms.clear()
        self.detector.norms.extend(state_dict["norms"])
        self.found, self.skips, self.skipped = state_dict["found"], state_dict["skips"], list(state_dict["skipped"])
