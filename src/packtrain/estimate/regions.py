"""a country's ISO code → kg CO2eq per kWh of its electricity, from the table that the package codecarbon carries

Optional (`pip install 'packtrain[carbon]'`): the file is read where it lies, codecarbon itself is never imported, and
nothing is asked of the network.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from packtrain.errors import Failure, UserError, nearest

TABLE = Path("data/private_infra/global_energy_mix.json")


def grid_intensity(region: str) -> float:
    """kg CO2eq per kWh of `region` (three letters, any case). `UserError` for an unknown one, or without the table."""
    table = regions()
    code = region.strip().upper()
    if code not in table:
        names = {str(row.get("country_name", "")).lower(): key for key, row in table.items()}
        near = names.get(region.strip().lower()) or nearest(code, table)
        hint = f"; did you mean '{near}'?" if near else "; give an ISO code of three letters, as FRA, or USA"
        raise UserError(f"cluster.region={region} is not in codecarbon's table of {len(table)} countries{hint}")
    return float(table[code]["carbon_intensity"]) / 1000  # g → kg


def regions() -> dict[str, dict[str, float]]:
    """codecarbon's table: ISO code → {carbon_intensity in g per kWh, year, …}."""
    found = importlib.util.find_spec("codecarbon")
    if found is None or not found.submodule_search_locations:
        raise UserError(
            "cluster.region needs the table of codecarbon: pip install 'packtrain[carbon]', or give "
            "cluster.kg_co2_per_kwh=… instead"
        )
    path = Path(next(iter(found.submodule_search_locations))) / TABLE
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        return {code: row for code, row in table.items() if row.get("carbon_intensity") is not None}
    except (OSError, ValueError, AttributeError) as error:
        raise Failure(
            f"codecarbon's table cannot be read ({error}); give cluster.kg_co2_per_kwh=… instead of region"
        ) from None
