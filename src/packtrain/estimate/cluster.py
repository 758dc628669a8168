"""conf/cluster/*.yaml → ClusterConfig: how many GPUs of which kind, at which power and price, on which electricity"""

from __future__ import annotations

from dataclasses import dataclass

from packtrain.errors import UserError
from packtrain.estimate.energy import KG_CO2EQ_PER_KWH, PUE
from packtrain.estimate.regions import grid_intensity


@dataclass(frozen=True)
class ClusterConfig:
    """`gpu` names a row of the hardware table; `power_watts` is one GPU's, None: as rated there.

    `network_gb_per_second` is one node's to the others, one direction, in 10⁹ bytes/s; None: 25 for each GPU of the
    A100's time, 50 for later ones. `region` (ISO code as FRA, or USA) replaces `kg_co2_per_kwh` by codecarbon's figure.
    """

    nodes: int = 1
    gpus_per_node: int = 1
    gpu: str | None = None
    power_watts: float | None = None
    pue: float = PUE
    kg_co2_per_kwh: float = KG_CO2EQ_PER_KWH
    region: str | None = None
    price_per_gpu_hour: float | None = None
    network_gb_per_second: float | None = None

    def __post_init__(self) -> None:
        for name in ("nodes", "gpus_per_node"):
            if getattr(self, name) < 1:
                raise UserError(f"cluster.{name}={getattr(self, name)}: expected at least 1")
        if not 1 <= self.pue < float("inf"):
            raise UserError(f"cluster.pue={self.pue}: expected at least 1, a facility uses no less than its computers")
        if not 0 <= self.kg_co2_per_kwh < float("inf"):
            raise UserError(f"cluster.kg_co2_per_kwh={self.kg_co2_per_kwh}: expected 0 or more")
        for name in ("power_watts", "price_per_gpu_hour", "network_gb_per_second"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise UserError(f"cluster.{name}={value}: expected a positive number, or null")
        if self.region is not None:
            object.__setattr__(self, "kg_co2_per_kwh", grid_intensity(self.region))

    @property
    def gpus(self) -> int:
        return self.nodes * self.gpus_per_node
