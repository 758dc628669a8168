"""runs → the tables of the page beyond their results: energy, mixture, spikes, differences, versions

Each is (headers, rows) of text; a figure that is not known is a dash.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from packtrain.report.differences import chosen
from packtrain.report.reading import RunData
from packtrain.report.tables import DASH, count, number

Table = tuple[Sequence[str], list[Sequence[str]]]
ENERGY_HEADERS = ("run", "tokens", "device-hours", "J/token", "kWh", "gCO2eq", "PUE", "kg/kWh", "source")
MIXTURE_HEADERS = ("domain", "share", "tokens", "wanted", "epochs", "text")
SPIKE_HEADERS = ("sample", "domain", "loss", "its documents begin", "documents")
SHOWN = 8  # sequences of a spike, and layers
PAPER_FORMULA = (
    "kWh = joules (J) drawn ÷ 3 600 000 × PUE, CO2eq = kWh × the grid’s kg/kWh: the formula of the LLaMA paper "
    "(arXiv 2302.13971, section 6)."
)


def energy(runs: Sequence[RunData], names: Sequence[str]) -> Table:
    """A row a run, so far where it has not ended, and their sum where there are several."""
    rows: list[Sequence[str]] = []
    sums: dict[str, float] = dict.fromkeys(("tokens", "device_hours", "joules", "kwh", "grams"), 0.0)
    for run, name in zip(runs, names, strict=True):
        found = energy_of(run)
        if found["kwh"] is None:
            continue
        source = run.summary.get("energy_source") or "so far"
        settings = number(found["pue"], 2), number(found["kg_co2_per_kwh"], 3)
        rows.append((name, *_energy_cells(found), *settings, str(source)))
        for key in sums:
            sums[key] += found[key] or 0.0
    if len(rows) > 1:
        rows.append(("all", *_energy_cells({k: v or None for k, v in sums.items()}), "", "", ""))
    return ENERGY_HEADERS, rows


def energy_of(run: RunData) -> dict[str, float | None]:
    """Of the finished run by its summary, of another by its last row."""
    summary = run.summary
    hours = summary.get("device_hours")
    if hours is None and summary.get("wall_seconds") is not None:
        hours = float(summary["wall_seconds"]) / 3600 * float(summary.get("devices") or 1)
    settings = (run.config.get("callbacks") or {}).get("carbon") or {}
    found = {
        **{key: summary.get(key, settings.get(key)) for key in ("pue", "kg_co2_per_kwh")},
        "tokens": summary.get("tokens", run.last("tokens")),
        "device_hours": hours,
        "kwh": summary.get("energy_kwh", run.last("carbon/energy_kwh")),
        "grams": summary.get("co2eq_g", run.last("carbon/co2eq_g")),
    }
    values = {key: float(value) if isinstance(value, (int, float)) else None for key, value in found.items()}
    kwh, pue = values["kwh"], values["pue"]
    return {**values, "joules": None if kwh is None or not pue else 3.6e6 * kwh / pue}


def _energy_cells(found: Mapping[str, float | None]) -> list[str]:
    tokens, joules = found["tokens"], found["joules"]
    per_token = joules / tokens if tokens and joules is not None else None
    return [count(tokens), *(figure(v) for v in (found["device_hours"], per_token, found["kwh"], found["grams"]))]


def mixture(run: RunData) -> Table:
    """What was drawn of each domain, beside what the weights wanted."""
    rows = [
        (
            str(domain),
            f"{100 * entry['share']:.1f} %",
            count(entry.get("realised_tokens")),
            count(entry.get("target_tokens")),
            number(entry.get("realised_epochs"), 2),
            amount(entry.get("realised_bytes")),
        )
        for domain, entry in (run.ledger.get("domains") or {}).items()
        if isinstance(entry, Mapping) and isinstance(entry.get("share"), (int, float))
    ]
    return MIXTURE_HEADERS, list(rows)


def differences(runs: Sequence[RunData], names: Sequence[str]) -> Table:
    """Settings that differ between runs, one row each; nothing where there is one run."""
    found = chosen([run.config for run in runs])
    return ("setting", *names), [(key, *(setting(value) for value in values)) for key, values in found.items()]


def versions(runs: Sequence[RunData], names: Sequence[str]) -> Table:
    """Package and machine of each run's last start; a run of several starts with different ones shows all of them."""
    keys = list(dict.fromkeys(key for run in runs for start in run.starts for key in start))
    rows = [(key.replace("_", " "), *(_distinct(run, key) for run in runs)) for key in keys]
    return ("", *names), list(rows)


def _distinct(run: RunData, key: str) -> str:
    return ", ".join(dict.fromkeys(setting(start[key]) for start in run.starts if key in start)) or DASH


def spike_head(spike: Mapping[str, Any]) -> str:
    """`step 30: the loss leapt; logged`, as far as the file says it."""
    said = [str(spike[key]) for key in ("why", "action") if spike.get(key)]
    return f"step {setting(spike.get('step'))}" + (f": {'; '.join(said)}" if said else "")


def spike_lines(spike: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The plain figures of a spike's file, and of the gradients' norms by layer the largest."""
    lines = []
    for key, value in spike.items():
        if key in ("step", "why", "action", "sequences"):
            continue
        if isinstance(value, Mapping):
            plain = {k: v for k, v in value.items() if isinstance(v, (int, float, str))}
            largest = sorted(plain.items(), key=lambda item: item[1] if isinstance(item[1], (int, float)) else math.inf)
            value = ", ".join(f"{name} {setting(number)}" for name, number in largest[: -SHOWN - 1 : -1])
        lines.append((str(key).replace("_", " "), setting(value)))
    return lines


def spike_sequences(spike: Mapping[str, Any]) -> Table:
    """The sequences of the highest loss: where each comes from and how its documents begin."""
    rows = []
    for entry in [one for one in spike.get("sequences") or () if isinstance(one, Mapping)][:SHOWN]:
        documents = [one for one in entry.get("documents") or () if isinstance(one, Mapping)]
        numbers = ", ".join(setting(one.get("document")) for one in documents)
        text = " … ".join(" ".join(str(one["text"]).split())[:120] for one in documents if one.get("text"))
        rows.append((setting(entry.get("sample")), str(entry.get("domain")), setting(entry.get("loss")), text, numbers))
    return SPIKE_HEADERS, rows


def setting(value: Any) -> str:
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return figure(value) if abs(value) < 1e5 else count(value)
    return (
        count(value)
        if isinstance(value, int)
        else ", ".join(map(setting, value))
        if isinstance(value, list)
        else str(value)
    )


def figure(value: float | None) -> str:
    """Four digits that count; whole groups of three above that."""
    if value is None:
        return DASH
    return count(value) if abs(value) >= 1e4 else f"{value:.4g}"


def amount(size: Any) -> str:
    """Bytes as kB, MB, GB, TB."""
    if not isinstance(size, (int, float)):
        return DASH
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size:.0f} B"
