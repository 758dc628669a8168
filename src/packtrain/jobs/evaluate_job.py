"""conf/evaluate.yaml → EvaluateJob: what `packtrain evaluate` was asked for"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from packtrain.errors import UserError
from packtrain.evaluation.tasks.spec import TaskSpec
from packtrain.inference.matrices import Precision


@dataclass(frozen=True)
class EvaluateJob:
    """`packtrain evaluate`: score the held-out text of every domain with the model of `checkpoint`, or ask it `tasks`.

    shards: a packed folder, None that of the run.  sequence_length: tokens in a window, or looked back on by a task;
    None as in training.  output: None is evaluation.json (tasks.json) in the run's folder.  overwrite: score again
    what was already scored.

    tasks: name → task, composed from conf/tasks.  task_file: YAML files of tasks of one's own.  data_dir: where the
    tasks' files are.  limit: items of each task, spread over all.  batch_tokens: tokens in one forward of a task.

    harness: lm_eval asks the same tasks by lm-eval's evaluator, and `harness_tasks`, whose YAML is in `harness_path`.
    """

    checkpoint: str
    shards: str | None = None
    tokenizer: str | None = None
    sequence_length: int | None = None
    batch_size: int = 4
    precision: Precision | None = None
    device: str = "auto"
    output: str | None = None
    overwrite: bool = False
    tasks: dict[str, TaskSpec] = field(default_factory=dict)
    task_file: tuple[str, ...] = ()
    data_dir: str | None = None
    skip_malformed: bool = False
    limit: int | None = None
    batch_tokens: int = 4096
    seed: int = 1
    allow_code_execution: bool = False
    harness: Literal["native", "lm_eval"] = "native"
    harness_path: str | None = None
    harness_tasks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.harness_tasks or self.harness_path) and not (
            self.harness == "lm_eval" and self.harness_path and self.harness_tasks
        ):
            raise UserError("harness_tasks=[NAME] and harness_path=DIR go together, with harness=lm_eval")
        for name in ("batch_size", "sequence_length", "limit", "batch_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name}={value}: expected at least 1")
