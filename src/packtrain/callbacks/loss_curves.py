"""last step → train/loss, learning rate, gradient norm"""

from __future__ import annotations

import math
from typing import Any

from lightning.pytorch import Trainer

from packtrain.callbacks.meter import Meter


class LossCurves(Meter):
    """The loss (nats a token, mean over the whole batch) of the logged step itself, not of an interval: the curve of a
    resumed run is the uninterrupted one, number for number."""

    def __init__(self) -> None:
        self.loss: float | None = None

    def measure(self, step: int, trainer: Trainer, module: Any) -> dict[str, float]:
        last = module.last
        self.loss = float(last.loss)
        return {"train/loss": self.loss, "train/grad_norm": float(last.grad_norm), "train/lr": last.learning_rate}

    def summarise(self, module: Any) -> dict[str, Any]:
        return {
            "train_loss": None if self.loss is None or not math.isfinite(self.loss) else self.loss
        }  # no NaN in JSON

    def state_dict(self) -> dict[str, Any]:
        return {"loss": self.loss}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.loss = state_dict["loss"]
