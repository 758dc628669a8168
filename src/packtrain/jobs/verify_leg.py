"""python -m packtrain.jobs.verify_leg RUN FOLDER STEPS KILL: one leg of `packtrain verify`, in FOLDER

Trains RUN's configuration to step STEPS, from FOLDER's last checkpoint on, saving at every second step; where KILL is
not 0, ends itself with SIGKILL after step KILL.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import yaml

from packtrain import settings
from packtrain.callbacks.checkpointing import Checkpointing
from packtrain.callbacks.recorder import Recorder
from packtrain.checkpoint.directory import MARKER
from packtrain.errors import Failure, UserError
from packtrain.jobs.base import base_folder
from packtrain.jobs.train import TrainJob, train
from packtrain.training.loggers import CsvLogger


def main(run_dir: Path, folder: Path, steps: int, kill: int) -> int:
    """The exit code; what went wrong is one line on stdout."""
    try:
        config = yaml.safe_load((run_dir / "config.yaml").read_text())
        train(trial(config, run_dir, folder, kill), stop_at=steps)
    except (UserError, Failure) as error:
        print(f"packtrain: {error}", flush=True)
        return 1
    return 0


def trial(config: dict[str, Any], run_dir: Path, folder: Path, kill: int) -> TrainJob:
    """The run's job in `folder`: its own model, data, optimiser and engine, and those callbacks that are not ours."""
    plain = {key: value for key, value in config.items() if key not in ("fingerprints", "callbacks", "loggers")}
    plain |= {"run_dir": str(folder), "runs_dir": str(folder.parent), "name": folder.name, "smoke": False}
    if (base_folder(run_dir) / MARKER).exists():  # what LoRA froze, wherever it came from
        plain["init_from"] = str(base_folder(run_dir))
    every = config["data"]["batch_tokens"] * 2
    callbacks: dict[str, Any] = {
        name: create(values, str(run_dir), str(folder))
        for name, values in config["callbacks"].items()
        if values is not None and not values["_target_"].startswith("packtrain.")
    }
    callbacks["recorder"] = Recorder(str(folder), kill or None)
    callbacks["checkpointing"] = Checkpointing(str(folder), interval_tokens=every, keep_last=2)
    return settings.build(
        TrainJob, {**plain, "callbacks": callbacks, "loggers": {"csv": CsvLogger(str(folder))}, "composed": {}}
    )


def create(values: dict[str, Any], old: str, new: str) -> Any:
    """`_target_` called with its settings, paths of the run taken to the trial's folder."""
    module, _, name = values["_target_"].rpartition(".")
    settings_ = {
        key: value.replace(old, new) if isinstance(value, str) else value
        for key, value in values.items()
        if not key.startswith("_")
    }
    return getattr(importlib.import_module(module), name)(**settings_)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
