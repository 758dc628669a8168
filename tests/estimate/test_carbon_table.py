"""The carbon table of the LLaMA paper (arXiv 2302.13971, table 15), recomputed by its own formula"""

import pytest

from packtrain.estimate.energy import co2eq_grams, co2eq_tonnes, facility_kwh, gpu_energy_mwh

# model: GPU-hours, MWh and tCO2eq as printed
TABLE = {
    "OPT-175B": (809_472, 356, 137),
    "BLOOM-175B": (1_082_880, 475, 183),
    "LLaMA-7B": (82_432, 36, 14),
    "LLaMA-13B": (135_168, 59, 23),
    "LLaMA-33B": (530_432, 233, 90),
    "LLaMA-65B": (1_022_362, 449, 173),
}


@pytest.mark.parametrize("model", [name for name in TABLE if name != "BLOOM-175B"])
def test_the_formula_gives_the_printed_table(model: str) -> None:
    gpu_hours, mwh, tonnes = TABLE[model]
    energy = gpu_energy_mwh(gpu_hours, watts=400, pue=1.1)
    assert abs(energy - mwh) < 1.0, "printed in whole MWh, some cut and some rounded"
    assert round(co2eq_tonnes(energy, 0.385)) == tonnes


def test_bloom_recomputes_to_more_than_printed() -> None:
    energy = gpu_energy_mwh(TABLE["BLOOM-175B"][0], 400, 1.1)
    assert energy == pytest.approx(476.5, abs=0.05), "printed: 475"
    assert round(co2eq_tonnes(energy)) == 183


def test_65b_recomputes_to_449_8_mwh() -> None:
    assert gpu_energy_mwh(1_022_362, 400, 1.1) == pytest.approx(449.8, abs=0.05)


def test_joules_become_kwh_of_the_facility_and_grams() -> None:
    assert facility_kwh(3.6e6, pue=1.0) == 1.0
    assert facility_kwh(7.2e6, pue=1.1) == pytest.approx(2.2)
    assert co2eq_grams(2.0, 0.385) == pytest.approx(770)
