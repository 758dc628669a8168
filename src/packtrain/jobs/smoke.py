"""the same configuration, five steps: three, a save, a new start from it, two more; then the folder is removed"""

from __future__ import annotations

import copy
import dataclasses
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from packtrain.callbacks.checkpointing import Checkpointing
from packtrain.training.loggers import CsvLogger

STEPS, SAVED_AT = 5, 3


def run_smoke(job: Any, train: Callable[..., dict[str, Any]]) -> None:
    """Tries `job` (a TrainJob) through `train`, which is handed in so that the two jobs import each other in no circle.

    Raises what the real run would raise in its first five steps; leaves nothing behind where it went well."""
    begin = time.monotonic()
    folder = Path(job.runs_dir) / f".smoke-{job.name.replace('/', '-')}"
    shutil.rmtree(folder, ignore_errors=True)
    tried = dataclasses.replace(
        job,
        smoke=False,
        run_dir=str(folder),
        data=dataclasses.replace(job.data, tokens=STEPS * job.data.batch_tokens),
        optim=dataclasses.replace(job.optim, warmup_steps=min(1, job.optim.warmup_steps)),
        changes=_early(job),
        callbacks={
            **{name: _moved(callback, folder) for name, callback in job.callbacks.items()},
            "checkpointing": Checkpointing(str(folder), interval_tokens=job.data.batch_tokens),
        },
        loggers={"csv": CsvLogger(str(folder))},
    )
    stopped = train(tried, stop_at=SAVED_AT)
    finished = train(dataclasses.replace(tried, loggers={"csv": CsvLogger(str(folder))}))
    shutil.rmtree(folder)
    print(
        f"smoke: saved at step {stopped['step']}, resumed, ended at step {finished['step']} "
        f"in {time.monotonic() - begin:.0f} s; this configuration runs"
    )


def _early(job: Any) -> dict[str, Any]:
    """The changes of mixture and schedule, one after each of the first steps: as many as there is room for."""
    ordered = sorted(job.changes.items(), key=lambda item: item[1].at_tokens)[: STEPS - 1]
    return {
        name: dataclasses.replace(
            change, at_tokens=step * job.data.batch_tokens, warmup_steps=change.warmup_steps and 0
        )
        for step, (name, change) in enumerate(ordered, 1)
    }


def _moved(callback: Any, folder: Path) -> Any:
    """The callback as it would be in `folder`: what it writes there goes with the trial."""
    if not hasattr(callback, "run_dir"):
        return callback
    moved = copy.copy(callback)
    moved.run_dir = type(callback.run_dir)(folder)
    return moved
