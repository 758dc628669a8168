"""one batch = one optimiser step:  micro-batches → forward, backward → clip → AdamW

Pre-training and fine-tuning share this module. Optimisation is manual so that a Lightning batch is exactly one step: no
state exists in the middle of an accumulation, and a checkpoint can only fall between steps.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningModule

from packtrain.checkpoint.directory import committed
from packtrain.errors import Failure
from packtrain.model.layout import CAUSAL, Layout, document_lengths
from packtrain.model.llama import Llama
from packtrain.training.changes import Schedule
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


class LlamaModule(LightningModule):
    """`model` trained by `optim` over `steps`; `run_dir` only tells the user where the last good checkpoint is.

    With `document_mask` the documents packed into one sequence do not see each other.
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
        self.layouts: list[Layout] = []  # of the micro-batches of the coming step
        self.last: StepResult | None = None
        self.paused_seconds = 0.0  # validation and checkpoints: not part of a step's time

    def configure_model(self) -> None:
        """The model comes as it is to be: wrapped over a mesh or not."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return build_optimiser(self.model, self.optim)

    def on_before_batch_transfer(self, batch: torch.Tensor, dataloader_idx: int) -> torch.Tensor:
        """Finds the documents while the tokens are still on the CPU: on a GPU, looking for them would stall it."""
        micros = batch.split(self.steps.micro_batch)
        self.layouts = [Layout(document_lengths(m[:, :-1])) if self.document_mask else CAUSAL for m in micros]
        return batch

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        """`batch` (sequences of one step on this rank, T + 1) token ids."""
        step = self.trainer.global_step
        torch.manual_seed(step_seed(self.seed, step, self.parallel.data_rank))
        optimiser: Any = self.optimizers()
        rate = self.schedule.rate(step)
        for group in optimiser.param_groups:
            group["lr"] = rate
        total = torch.zeros((), device=batch.device)
        micros = list(zip(batch.split(self.steps.micro_batch), self.layouts, strict=True))
        for number, (micro, layout) in enumerate(micros):
            self.parallel.before_backward(self.model, last=number == len(micros) - 1)
            loss = self.model.loss(micro[:, :-1].long(), micro[:, 1:].long(), layout) / self.steps.accumulation
            self.manual_backward(loss)
            total += loss.detach()
        norm, total = self.parallel.clip(self.model, self.optim, total)
        self.last = StepResult(total, norm, rate)
        if batch.device.type == "cpu":  # reading is free here; a GPU is asked at log steps and before each checkpoint
            self.require_finite(step + 1)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    def _kept(self) -> str:
        saved = committed(self.run_dir)
        return f"the last good checkpoint is {saved[-1]}" if saved else "before there was a checkpoint"

    def require_finite(self, step: int) -> None:
        """Raises `Failure` where the last step's loss or gradient is no number: the update must not be saved."""
        if self.last is None or bool(torch.isfinite(self.last.loss) & torch.isfinite(self.last.grad_norm)):
            return
        if not self.parallel.world.first:
            raise self.parallel.world.follow(1)  # loss and norm are the same on every rank: rank 0 says it
        raise Failure(
            f"loss {float(self.last.loss):g}, gradient norm {float(self.last.grad_norm):g} at step {step}: "
            f"stopped, {self._kept()}. Try a lower "
            "optim.learning_rate or a longer optim.warmup_steps under another name="
        )


def step_seed(seed: int, step: int, rank: int) -> int:
    """The seed of all randomness inside one step: a function of where it is, so that a resumed run draws the same."""
    digest = hashlib.blake2b(f"{seed}/{step}/{rank}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
