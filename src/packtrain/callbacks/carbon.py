"""joules (measured, rated or guessed) → kWh × PUE → gCO2eq, by the paper's formula (section 6)"""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer

from packtrain.callbacks.meter import Meter
from packtrain.errors import UserError
from packtrain.estimate.energy import co2eq_grams, facility_kwh
from packtrain.estimate.power import Meter as PowerMeter
from packtrain.estimate.power import SteadyMeter, open_meter
from packtrain.parallel.processes import World


class Carbon(Meter):
    """Energy of the run so far, kept across resumes: what the last checkpoint knew, and what was drawn since.

    `power_watts` (of one device) replaces the sensors and counts as rated. A run that mixes sources says the weakest.
    Work that a kill undid after the last checkpoint is not in the sum.
    """

    ORDER = ("measured", "rated", "guessed")

    def __init__(self, pue: float = 1.1, kg_co2_per_kwh: float = 0.385, power_watts: float | None = None) -> None:
        if pue < 1:
            raise UserError(f"pue={pue}: a facility uses at least what its computers use; give 1 or more")
        if kg_co2_per_kwh < 0 or (power_watts is not None and power_watts <= 0):
            raise UserError("callbacks.carbon: kg_co2_per_kwh and power_watts must be positive")
        self.pue, self.kg_co2_per_kwh, self.power_watts = pue, kg_co2_per_kwh, power_watts
        self.joules_before = 0.0
        self.source = "measured"
        self.detail = ""
        self._meter: PowerMeter | None = None
        self._world: World = World()
        self._counts = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module: Any = pl_module
        device, self._world = module.device, module.parallel.world
        self._counts = device.type == "cuda" or self._world.local_rank == 0  # a node's CPU is read once
        if self.power_watts is not None:
            self._meter = SteadyMeter(self.power_watts, "rated", f"{self.power_watts:g} W, as configured")
        elif device.type == "cuda":
            properties = torch.cuda.get_device_properties(device)
            self._meter = open_meter([torch.cuda.get_device_name(device)], [str(properties.uuid)])
        else:
            self._meter = open_meter()
        self.source = max(self.source, self._meter.source, key=self.ORDER.index)
        self.detail = self._meter.detail

    def joules(self) -> float:
        """Of all ranks (collective)."""
        own = self._meter.joules() if self._meter and self._counts else 0.0
        return self.joules_before + sum(self._world.gather(own))

    def measure(self, step: int, trainer: Trainer, module: Any) -> dict[str, float]:
        kwh = facility_kwh(self.joules(), self.pue)
        return {"carbon/energy_kwh": kwh, "carbon/co2eq_g": co2eq_grams(kwh, self.kg_co2_per_kwh)}

    def summarise(self, module: Any) -> dict[str, Any]:
        kwh = facility_kwh(self.joules(), self.pue)
        return {
            "energy_kwh": kwh,
            "co2eq_g": co2eq_grams(kwh, self.kg_co2_per_kwh),
            "energy_source": self.source,
            "energy_detail": self.detail,
            "pue": self.pue,
            "kg_co2_per_kwh": self.kg_co2_per_kwh,
        }

    def state_dict(self) -> dict[str, Any]:
        return {"joules": self.joules(), "source": self.source, "detail": self.detail}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.joules_before = state_dict["joules"]
        self.source, self.detail = state_dict["source"], state_dict["detail"]
        self._meter = None  # one object may be resumed twice in a process: its own joules are in the state already
