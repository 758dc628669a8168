"""conf/cluster/*.yaml → ClusterConfig: how many GPUs of which kind, at which power, on which electricity"""

from __future__ import annotations

from dataclasses import dataclass

from packtrain.errors import UserError
from packtrain.estimate.energy import KG_CO2EQ_PER_KWH, PUE


@dataclass(frozen=True)
class ClusterConfig:
    """`gpu` names a row of the hardware table; `power_watts` is one GPU's, None: as rated there."""

    nodes: int = 1
    gpus_per_node: int = 1
    gpu: str | None = None
    power_watts: float | None = None
    pue: float = PUE
    kg_co2_per_kwh: float = KG_CO2EQ_PER_KWH

    def __post_init__(self) -> None:
        for name in ("nodes", "gpus_per_node"):
            if getattr(self, name) < 1:
                raise UserError(f"cluster.{name}={getattr(self, name)}: expected at least 1")
        if self.pue < 1:
            raise UserError(f"cluster.pue={self.pue}: expected at least 1, a facility uses no less than its computers")
        if self.kg_co2_per_kwh < 0:
            raise UserError(f"cluster.kg_co2_per_kwh={self.kg_co2_per_kwh}: expected 0 or more")
        if self.power_watts is not None and self.power_watts <= 0:
            raise UserError(f"cluster.power_watts={self.power_watts}: expected a positive number, or null")

    @property
    def gpus(self) -> int:
        return self.nodes * self.gpus_per_node
