"""a run's file as read → the shapes that its readers count on, or one line that names the file and the value

Whole JSON of a foreign or hand-edited file is not yet what packtrain writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packtrain.errors import UserError

KINDS: dict[str, tuple[type, ...]] = {"a number": (int, float), "a mapping": (Mapping,), "a list": (list,)}
SHAPES: dict[str, dict[str, str]] = {  # file → key → what it is where it is there
    "config.yaml": dict.fromkeys(("model", "data", "optim", "callbacks", "parallel"), "a mapping"),
    "summary.json": {
        **dict.fromkeys(
            ("step", "tokens", "parameters", "train_loss", "tokens_per_second", "mfu", "goodput", "energy_kwh",
             "co2eq_g", "pue", "kg_co2_per_kwh", "wall_seconds", "devices", "device_hours", "peak_flops"),
            "a number",
        ),
        **dict.fromkeys(("seconds", "spikes", "validation"), "a mapping"),
    },
    "evaluation.json": {"step": "a number", "domains": "a mapping", "weighted": "a mapping"},
    "ledger.json": {"domains": "a mapping"},
    "versions.json": {"starts": "a list"},
    "spike": {"step": "a number", "samples": "a list", "sequences": "a list", "gradient_norms": "a mapping"},
}  # fmt: skip
INSIDE = {("summary.json", "seconds"): "a number", ("summary.json", "spikes"): "a number",
          ("evaluation.json", "domains"): "a mapping"}  # fmt: skip


def check_shape(found: Mapping[str, Any], path: Path) -> None:
    """Raises `UserError` for a value of another kind; what is absent or null may be."""
    name = "spike" if path.parent.name == "spikes" else path.name
    for key, kind in SHAPES.get(name, {}).items():
        _expect(found.get(key), kind, key, path)
        if (inner := INSIDE.get((name, key))) is not None:
            for own, value in (found.get(key) or {}).items():
                _expect(value, inner, f"{key}.{own}", path)


def _expect(value: Any, kind: str, key: str, path: Path) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, KINDS[kind])):
        said = repr(value)
        raise UserError(
            f"{path}: {key} is {said[:40]}{'…' * (len(said) > 40)}, not {kind}; delete the file and run the command "
            "that wrote it again"
        )
