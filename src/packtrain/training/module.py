"""one batch = one optimiser step:  micro-batches → forward, backward → clip → AdamW

Pre-training and fine-tuning share this module. Optimisation is manual so that a Lightning batch is exactly one step: no
state exists in the middle of an accumulation, and a checkpoint can only fall between steps.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import torch
from lightning.pytorch import LightningModule

from packtrain.checkpoint.directory import committed
from packtrain.data.masked import counted, ids
from packtrain.errors import Failure
from packtrain.model.layout import CAUSAL, Layout, document_lengths
from packtrain.model.llama import Llama
from packtrain.training.changes import Schedule
from packtrain.training.clock import StepClock
from packtrain.training.optimiser import build_optimiser
from packtrain.training.parallel import Parallel
from packtrain.training.schedule import OptimConfig
from packtrain.training.steps import Steps


@dataclass
class StepResult:
    """What the last step measured. Tensors stay on their device: reading one stalls a GPU, so only log steps do."""

    loss: torch.Tensor  # () mean nats per token over the whole batch
    grad_norm: torch.Tensor  # () before clipping
    learning_rate: float
    parts: torch.Tensor | None = None  # what `Parallel.norms` makes each parameter's gradient norm of
    applied: bool = True  # False: the update was left out
    counted: tuple[torch.Tensor | None, ...] = ()  # of each micro-batch the targets that count, None for all


class Examiner(Protocol):
    """Looks at every step before its update (`callbacks/loss_spike.py`)."""

    def examine(self, step: int, batch: torch.Tensor) -> bool:
        """Whether the update of `step` (counted from 1), whose result is the module's `last`, is to be applied."""
        ...

    def settle(self) -> None:
        """Look at what was not looked at yet; may wait for the device."""


class LlamaModule(LightningModule):
    """`model` trained by `optim` over `steps`; `run_dir` only tells the user where the last good checkpoint is.

    With `document_mask` the documents packed into one sequence do not see each other. `masked`: the batches say which
    targets count (`data.masked`), and the loss of a step is the mean over all those of the whole batch.
    """

    def __init__(
        self,
        model: Llama,
        optim: OptimConfig,
        steps: Steps,
        seed: int,
        run_dir: str = "",
        document_mask: bool = False,
        parallel: Parallel | None = None,
        schedule: Schedule | None = None,
        masked: bool = False,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.optim = optim
        self.steps = steps
        self.seed = seed
        self.run_dir = run_dir
        self.document_mask = document_mask
        self.parallel = parallel or Parallel()
        self.schedule = schedule or Schedule(((0, optim),), steps.total)
        self.masked = masked
        self.layouts: list[Layout] = []  # of the micro-batches of the coming step
        self.counted: list[torch.Tensor | None] = []  # of each the targets that count, None for all
        self.last: StepResult | None = None
        self.examiner: Examiner | None = None
        self.quiet = False
        self.clock = StepClock()

    def on_fit_start(self) -> None:
        if self.device.type == "cuda":
            self.clock = StepClock(lambda: torch.cuda.Event(enable_timing=True))

    def configure_model(self) -> None:
        """The model comes as it is to be: wrapped over a mesh or not."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return build_optimiser(self.model, self.optim)

    def on_before_batch_transfer(self, batch: torch.Tensor, dataloader_idx: int) -> torch.Tensor:
        """Finds the documents while the tokens are still on the CPU: on a GPU, looking for them would stall it."""
        size = self.steps.micro_batch
        self.counted = [counted(m) if self.masked else None for m in batch.split(size)]
        batch = ids(batch) if self.masked else batch
        micros = batch.split(size)
        self.layouts = [Layout(document_lengths(m[:, :-1])) if self.document_mask else CAUSAL for m in micros]
        return batch

    def divisors(self) -> list[float]:
        """What the mean loss of each micro-batch is divided by: their number, or so that each counted target of the
        whole batch weighs the same. The ranks' losses and gradients are averaged afterwards (collective)."""
        numbers = [len(one) for one in self.counted if one is not None]
        if not numbers:
            return [self.steps.accumulation] * len(self.layouts)
        every = self.parallel.world.gather(sum(numbers))
        return [sum(every) / (n * len(every)) for n in numbers]

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        """`batch` (sequences of one step on this rank, T + 1) token ids."""
        step = self.trainer.global_step
        self.clock.begin()
        torch.manual_seed(step_seed(self.seed, step, self.parallel.data_rank))
        optimiser: Any = self.optimizers()
        rate = self.schedule.rate(step)
        for group in optimiser.param_groups:
            group["lr"] = rate
        total = torch.zeros((), device=batch.device)
        parts = zip(batch.split(self.steps.micro_batch), self.layouts, self.counted, self.divisors(), strict=True)
        for number, (micro, layout, targets, divisor) in enumerate(parts):
            self.parallel.before_backward(self.model, last=number == len(self.layouts) - 1)
            more = () if targets is None else (targets.to(batch.device, non_blocking=True),)
            loss = self.model.loss(micro[:, :-1].long(), micro[:, 1:].long(), layout, *more) / divisor
            self.manual_backward(loss)
            total += loss.detach()
        self.clock.update()
        norm, total, parts = self.parallel.clip(self.model, self.optim, total)
        self.last = StepResult(total, norm, rate, parts, counted=tuple(self.counted))
        if self.examiner is not None:
            self.last.applied = self.examiner.examine(step + 1, batch)
        elif batch.device.type == "cpu":  # reading is free here; a GPU is asked at log steps and before a checkpoint
            self.require_finite(step + 1)
        optimiser.optimizer.found_inf = self._refused(self.last)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        data: Any = getattr(self.trainer, "datamodule", None)
        self.clock.end(data.waited() if hasattr(data, "waited") else 0.0)

    def _refused(self, result: StepResult) -> torch.Tensor | None:
        """1 where fused AdamW must leave weights and moments as they are: a flag on the device, so that a gradient that
        is no number is kept out on a GPU without asking the host."""
        if not result.applied:
            return torch.ones((), device=result.loss.device)
        if result.loss.device.type == "cpu":
            return None
        return (~(torch.isfinite(result.loss) & torch.isfinite(result.grad_norm))).float()

    def _kept(self) -> str:
        saved = committed(self.run_dir)
        return f"the last good checkpoint is {saved[-1]}" if saved else "before there was a checkpoint"

    def require_finite(self, step: int) -> None:
        """Raises `Failure` where the last step's loss or gradient is no number: the update must not be saved."""
        if self.examiner is not None:
            self.examiner.settle()
        result = self.last
        if result is None or not result.applied:
            return
        if not bool(torch.isfinite(result.loss) & torch.isfinite(result.grad_norm)):
            self.fail(step, float(result.loss), float(result.grad_norm))

    def fail(self, step: int, loss: float, norm: float, more: str = "") -> NoReturn:
        """Ends the run on every rank with one line; `more` is where the step is explained."""
        if not self.parallel.world.first:
            raise self.parallel.world.follow(1)  # loss and norm are the same on every rank: rank 0 says it
        raise Failure(
            f"loss {loss:g}, gradient norm {norm:g} at step {step}: stopped, {self._kept()}. {more}Try a lower "
            "optim.learning_rate or a longer optim.warmup_steps under another name="
        )


def step_seed(seed: int, step: int, rank: int) -> int:
    """The seed of all randomness inside one step: a function of where it is, so that a resumed run draws the same."""
    digest = hashlib.blake2b(f"{seed}/{step}/{rank}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
