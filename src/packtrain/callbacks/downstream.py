"""every so many tokens: chosen tasks, asked of the model as it is → tasks/<task>/<figure> against tokens

The paper's Figure 2. The model answers by its own forward, so it may be split over processes as it likes, which share
the work. A part of each task, always the same items, is enough for a curve.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from packtrain.callbacks.meter import Meter
from packtrain.errors import UserError
from packtrain.evaluation.tasks.forward import ForwardAnswerer
from packtrain.evaluation.tasks.requests import Generate
from packtrain.evaluation.tasks.runner import Prepared, compute, prepare, result
from packtrain.evaluation.tasks.scoring import Scoring, Surroundings
from packtrain.evaluation.tasks.spec import load
from packtrain.tokenizer.tokenizer import Tokenizer


class Downstream(Meter):
    """`tasks`: names, groups or YAML files; none: nothing is asked. `data_dir`: where their files are. `limit`: items
    of each task, spread over all. `interval_tokens`: None is twenty times a run. `batch_tokens`: in one forward.

    Open questions are answered greedily, without a cache: rather `nq_open@5` than `nq_open`, which asks four times.
    What draws texts by chance, or needs a sandbox, a judge or a service, is refused: training would wait too long.
    """

    def __init__(
        self,
        tasks: tuple[str, ...] = (),
        data_dir: str | None = None,
        interval_tokens: float | None = None,
        limit: int | None = 200,
        batch_tokens: int = 8192,
    ) -> None:
        if batch_tokens < 1 or (limit is not None and limit < 1):
            raise UserError("callbacks.downstream: limit and batch_tokens must be at least 1")
        around = Surroundings(Path(data_dir) if data_dir else None)
        self.interval_tokens, self.batch_tokens = interval_tokens, batch_tokens
        self.tasks: list[Prepared] = [
            task for name, spec in load(tasks).items() for task in prepare(name, spec, around, limit)
        ]
        for task in self.tasks:
            asked = [one for item in task.items for one in item.requests if isinstance(one, Generate)]
            if any(one.temperature > 0 or one.n > 1 for one in asked):
                raise self._refused(task, "draws texts by chance")
            if type(task.scoring).finish is not Scoring.finish:
                raise self._refused(task, "needs a sandbox, a judge or a service")
        self.latest: dict[str, dict[str, float]] = {}
        self.tokenizer: Tokenizer | None = None

    @staticmethod
    def _refused(task: Prepared, why: str) -> UserError:
        return UserError(f"callbacks.downstream.tasks: {task.key} {why}; ask it with packtrain evaluate")

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        if self.tasks:
            self.tokenizer = Tokenizer(data.shards / "tokenizer.model")

    def due(self, step: int, trainer: Trainer, module: Any) -> bool:
        return bool(self.tasks) and (
            step % module.steps.every(self.interval_tokens, 20) == 0 or step == module.steps.total
        )

    def measure(self, step: int, trainer: Trainer, module: Any) -> dict[str, float]:
        if not self.due(step, trainer, module):
            return {}
        begin = time.perf_counter()
        columns: dict[str, float] = {}
        answerer = ForwardAnswerer(
            module.model, self.tokenizer, module.steps.sequence_length, self.batch_tokens, module.device,
            module.parallel.world, module.parallel.data_rank, module.parallel.data_ranks,
        )  # fmt: skip
        training = module.model.training
        module.model.eval()
        try:
            for task in self.tasks:
                lines = compute(task, answerer, task.items)  # all at once: there is the more to share
                found = result(task, {line["index"]: line for line in lines}, "")
                figure = found.figures[found.metric]
                if figure.value is not None:
                    columns[f"tasks/{task.key}/{found.metric}"] = figure.value
                    self.latest[task.key] = {found.metric: figure.value, "stderr": figure.stderr or 0.0, "n": figure.n}
        finally:
            module.model.train(training)
        module.clock.add("validation", time.perf_counter() - begin)
        return columns

    def summarise(self, module: Any) -> dict[str, Any]:
        return {"tasks": self.latest} if self.latest else {}

    def state_dict(self) -> dict[str, Any]:
        return {"latest": self.latest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.latest = state_dict["latest"]
