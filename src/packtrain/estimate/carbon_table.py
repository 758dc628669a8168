"""GPU-hours of the paper → MWh, tCO2eq, beside what it prints (LLaMA, arXiv 2302.13971, table 15)"""

from __future__ import annotations

from dataclasses import dataclass

from packtrain.estimate.energy import KG_CO2EQ_PER_KWH, PUE, co2eq_tonnes, gpu_energy_mwh

WATTS = 400.0


@dataclass(frozen=True)
class Row:
    """One model as printed: hours of A100-80GB at 400 W, MWh, tCO2eq."""

    model: str
    gpu_hours: float
    printed_mwh: float
    printed_tonnes: float

    @property
    def mwh(self) -> float:
        return gpu_energy_mwh(self.gpu_hours, WATTS, PUE)

    @property
    def tonnes(self) -> float:
        return co2eq_tonnes(self.mwh, KG_CO2EQ_PER_KWH)

    @property
    def note(self) -> str:
        """Where the formula, rounded, is not what the paper prints."""
        if round(self.mwh) == self.printed_mwh:
            return ""
        cut = "cut, not rounded" if int(self.mwh) == self.printed_mwh else "more than rounding explains"
        return f"printed {self.printed_mwh:g} MWh, the formula gives {self.mwh:.1f}: {cut}"


PAPER = (
    Row("OPT-175B", 809_472, 356, 137),
    Row("BLOOM-175B", 1_082_880, 475, 183),
    Row("LLaMA-7B", 82_432, 36, 14),
    Row("LLaMA-13B", 135_168, 59, 23),
    Row("LLaMA-33B", 530_432, 233, 90),
    Row("LLaMA-65B", 1_022_362, 449, 173),
)
