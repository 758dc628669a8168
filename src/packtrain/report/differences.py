"""configurations of several runs → the settings that differ, a value for each run"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Where a run lies and which files of the same content it read: different in each run, and no choice of anybody.
INCIDENTAL = ("name", "run_dir", "runs_dir", "model.name", "data.path", "callbacks.", "loggers.", "model.recipe.")


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} → {"a.b": 1}"""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat.update(flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value})
    return flat


def differing(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """{"optim.learning_rate": a value for each configuration, None where it has none}, alphabetically."""
    flat = [flatten(config) for config in configs]
    settings = {key: [one.get(key) for one in flat] for key in sorted({key for one in flat for key in one})}
    return {key: values for key, values in settings.items() if any(value != values[0] for value in values)}


def chosen(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Those of `differing` that somebody chose: names and folders left out."""
    return {key: values for key, values in differing(configs).items() if not key.startswith(INCIDENTAL)}
