"""callbacks, loggers, device → a quiet Lightning Trainer whose only loop is steps"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ProgressBar

from packtrain.training.checkpoint_io import DirectoryCheckpointIO
from packtrain.training.parallel import Parallel
from packtrain.training.strategy import LaunchedProcesses, MeshStrategy


def build_trainer(
    run_dir: Path,
    device: torch.device,
    max_steps: int,
    callbacks: list[pl.Callback],
    loggers: list[Any],
    checkpoint_identity: Mapping[str, Any],
    parallel: Parallel | None = None,
) -> pl.Trainer:
    """One device, or the mesh of `parallel`; fp32 to Lightning, because the model itself casts to bf16."""
    _hush()
    where: dict[str, Any] = {
        "devices": 1 if device.type == "cpu" else [device.index or 0],
        "plugins": [DirectoryCheckpointIO(checkpoint_identity)],
    }
    if parallel is not None and parallel.mesh is not None:
        world = parallel.world
        where = {
            "devices": world.local_size,
            "num_nodes": world.size // world.local_size,
            "plugins": [LaunchedProcesses(world)],
            "strategy": MeshStrategy(world, parallel.mesh, device, checkpoint_identity),
        }
    return pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        **where,
        max_steps=max_steps,
        max_epochs=-1,
        callbacks=callbacks,
        logger=loggers or False,
        enable_checkpointing=True,
        enable_model_summary=False,
        enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in callbacks),
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        log_every_n_steps=max_steps,  # rows are RunLog's business
        default_root_dir=str(run_dir),
    )


def _hush() -> None:
    """Lightning's and torch's notes on devices, workers and summaries: none is news to our user."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*returned a view tensor.*")  # no layer's output is changed in place
