"""joules (measured, rated or guessed) → kWh × PUE → gCO2eq, by the paper's formula (section 6), so far and to the end

GPU  NVML's counter, else the board's rated power       } of every rank    } joules → totals.json at each row,
CPU  RAPL's counter, else a guess per hardware thread   } once a node      }          checkpoints
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer

from packtrain.callbacks.meter import Meter
from packtrain.callbacks.totals import read_totals, update_totals
from packtrain.errors import UserError
from packtrain.estimate.energy import co2eq_grams, facility_kwh
from packtrain.estimate.power import POWERCAP, SteadyMeter, open_parts
from packtrain.estimate.power import Meter as PowerMeter
from packtrain.estimate.regions import grid_intensity
from packtrain.parallel.processes import World

ORDER = ("measured", "rated", "guessed")
POLL_SECONDS = 60.0  # RAPL's counters wrap


class Carbon(Meter):
    """Energy of the run so far, kept across resumes and restarts, the work that a kill undid included.

    `power_watts` (of one device) replaces all sensors and counts as rated. A run that mixes sources says the weakest,
    and in `energy_parts` each. `region` (FRA, USA, …) replaces `kg_co2_per_kwh` by codecarbon's figure.
    `nvml` and `powercap` are the library's module and the kernel's folder, where they are not the usual ones.
    Joules and watts are the computers' own; kWh and grams the facility's, which is PUE times that.
    """

    def __init__(
        self,
        pue: float = 1.1,
        kg_co2_per_kwh: float = 0.385,
        power_watts: float | None = None,
        region: str | None = None,
        nvml: Any = None,
        powercap: str = str(POWERCAP),
    ) -> None:
        if not 1 <= pue < float("inf"):
            raise UserError(f"pue={pue}: a facility uses at least what its computers use; give 1 or more")
        if not 0 <= kg_co2_per_kwh < float("inf") or (power_watts is not None and not 0 < power_watts < float("inf")):
            raise UserError("callbacks.carbon: kg_co2_per_kwh and power_watts must be positive")
        self.pue, self.power_watts, self.region = pue, power_watts, region
        self.kg_co2_per_kwh = kg_co2_per_kwh if region is None else grid_intensity(region)
        self.before: dict[str, float] = {}  # joules by part, of all ranks and all earlier processes
        self.sources: dict[str, str] = {}
        self.details: dict[str, str] = {}
        self._nvml, self._powercap = nvml, Path(powercap)
        self._meters: dict[str, PowerMeter] = {}
        self._world: World = World()
        self._run_dir = ""
        self._start = self._last = (0.0, 0.0)  # (seconds, joules) at the start of this process and at the last row
        self._first_step = 0
        self._tokens = 0
        self._polled = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module: Any = pl_module
        self._world, self._run_dir = module.parallel.world, module.run_dir
        self._meters = self._open(module.device)
        for rank in self._world.gather([(part, m.source, m.detail) for part, m in self._meters.items()]):
            for part, source, detail in rank:
                weaker = max(self.sources.get(part, source), source, key=ORDER.index)
                self.sources[part], self.details[part] = weaker, detail
        found = read_totals(self._run_dir) if self._run_dir else {}
        totals = self._world.share({k.removeprefix("joules_"): v for k, v in found.items() if k.startswith("joules_")})
        for part in totals:
            self.sources.setdefault(part, "guessed")
            self.details.setdefault(part, "by an earlier process that was killed")
        self.before = {part: max(self.before.get(part, 0.0), totals.get(part, 0.0)) for part in self.sources}
        self._first_step, self._polled = trainer.global_step, time.monotonic()
        self._start = self._last = (time.perf_counter(), sum(self.before.values()))

    def _open(self, device: torch.device) -> dict[str, PowerMeter]:
        if self.power_watts is not None:
            own = device.type == "cuda" or self._world.local_rank == 0
            watts = f"{self.power_watts:g} W a device, as configured"
            return {"gpu" if device.type == "cuda" else "cpu": SteadyMeter(self.power_watts * own, "rated", watts)}
        names, uuids = [], []
        if device.type == "cuda":
            properties = torch.cuda.get_device_properties(device)
            names, uuids = [torch.cuda.get_device_name(device)], [str(properties.uuid)]
        parts = open_parts(names, uuids, self._nvml, self._powercap)
        if self._world.local_rank:
            del parts["cpu"]  # a node's CPU is read once
        return parts

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if time.monotonic() - self._polled > POLL_SECONDS:
            self._polled = time.monotonic()
            for meter in self._meters.values():
                meter.joules()

    def joules(self) -> dict[str, float]:
        """By part, of all ranks (collective)."""
        ranks = self._world.gather({part: meter.joules() for part, meter in self._meters.items()})
        drawn = {part: sum(rank.get(part, 0.0) for rank in ranks) for part in self.sources}
        return {part: self.before.get(part, 0.0) + drawn.get(part, 0.0) for part in self.before | drawn}

    def _noted(self) -> dict[str, float]:
        found = self.joules()
        if self._world.first:
            update_totals(self._run_dir, **{f"joules_{part}": value for part, value in found.items()})
        return found

    def measure(self, step: int, trainer: Trainer, module: Any) -> dict[str, float]:
        joules, now = sum(self._noted().values()), time.perf_counter()
        batch, steps = module.steps.batch_tokens, step - self._first_step
        self._tokens = step * batch
        watts = (joules - self._last[1]) / max(1e-9, now - self._last[0])
        self._last = (now, joules)
        row = {**self._footprint(joules), "power_watts": watts, "joules_per_token": joules / self._tokens}
        if joules > 0:
            row["tokens_per_joule"] = self._tokens / joules
        if steps > 0:
            to_come = (joules - self._start[1]) / steps * (module.steps.total - step)
            whole = self._footprint(joules + to_come)
            row |= {"projected_kwh": whole["energy_kwh"], "projected_co2eq_g": whole["co2eq_g"]}
        return {f"carbon/{name}": value for name, value in row.items()}

    def _footprint(self, joules: float) -> dict[str, float]:
        kwh = facility_kwh(joules, self.pue)
        return {"energy_kwh": kwh, "co2eq_g": co2eq_grams(kwh, self.kg_co2_per_kwh)}

    @property
    def source(self) -> str:
        """The weakest of the parts."""
        return max(self.sources.values(), key=ORDER.index, default="measured")

    def summarise(self, module: Any) -> dict[str, Any]:
        parts = self._noted()
        total = sum(parts.values())
        tokens = self._tokens or None
        several = len(parts) > 1
        said = [
            f"{part.upper()} {joules / max(total, 1e-9):.0%} ({self.sources[part]}): {self.details[part]}"
            if several
            else self.details[part]
            for part, joules in sorted(parts.items(), reverse=True)
        ]
        return {
            **self._footprint(total),
            "energy_source": self.source,
            "energy_detail": "; ".join(said),
            "energy_parts": {
                part: {"kwh": facility_kwh(own, self.pue), "source": self.sources[part], "detail": self.details[part]}
                for part, own in parts.items()
            },
            "joules": total,
            "joules_per_token": total / tokens if tokens else None,
            "tokens_per_joule": tokens / total if tokens and total else None,
            "pue": self.pue,
            "kg_co2_per_kwh": self.kg_co2_per_kwh,
            "region": self.region,
        }  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        return {"joules": self._noted(), "sources": dict(self.sources), "details": dict(self.details)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        joules = state_dict["joules"]
        if isinstance(joules, dict):
            self.before, self.sources, self.details = joules, state_dict["sources"], state_dict["details"]
        else:  # of an earlier version, which counted GPU or CPU
            part = "gpu" if "GPU" in state_dict["detail"] else "cpu"
            self.before, self.sources = {part: joules}, {part: state_dict["source"]}
            self.details = {part: state_dict["detail"]}
        self._meters = {}  # one object may be resumed twice in a process: its own joules are in the state already
