"""GPU-hours → MWh → tCO2eq, by the formula of the LLaMA paper (arXiv 2302.13971, §6)

    Wh = GPU-hours × watts per GPU × PUE        tCO2eq = MWh × 0.385

PUE (power usage effectiveness) is the facility's energy over its computers': 1.1 in the paper. 0.385 kg CO2eq per kWh
is the average of the United States that the paper takes for every model, wherever it was trained.
"""

from __future__ import annotations

PUE = 1.1
KG_CO2EQ_PER_KWH = 0.385
JOULES_PER_KWH = 3.6e6


def gpu_energy_mwh(gpu_hours: float, watts: float, pue: float = PUE) -> float:
    """Energy of the facility in MWh for `gpu_hours` at `watts` per GPU."""
    return gpu_hours * watts * pue / 1e6


def co2eq_tonnes(mwh: float, kg_per_kwh: float = KG_CO2EQ_PER_KWH) -> float:
    """Tonnes of CO2 equivalent; kg per kWh is also t per MWh."""
    return mwh * kg_per_kwh


def facility_kwh(joules: float, pue: float = PUE) -> float:
    """kWh of the facility for `joules` drawn by its computers."""
    return joules / JOULES_PER_KWH * pue


def co2eq_grams(kwh: float, kg_per_kwh: float = KG_CO2EQ_PER_KWH) -> float:
    """Grams of CO2 equivalent of `kwh`."""
    return kwh * kg_per_kwh * 1000
