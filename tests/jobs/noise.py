"""A callback that changes the weights by something no checkpoint knows: the process's number"""

from __future__ import annotations

import os
from typing import Any

import torch
from lightning.pytorch import Callback


class Noise(Callback):
    def on_train_batch_end(self, trainer: Any, pl_module: Any, *arguments: Any) -> None:
        with torch.no_grad():
            pl_module.model.norm.weight.add_(1e-4 * os.getpid() % 0.01)
