"""law=NAME or FILE → the scaling law: a published one, or one that `packtrain plan fit output=…` wrote"""

from __future__ import annotations

import json
from pathlib import Path

from packtrain.errors import UserError, did_you_mean
from packtrain.estimate.scaling import LAWS, Law


def read_law(name: str) -> Law:
    """Raises `UserError` for what is neither."""
    if name in LAWS:
        return LAWS[name]
    path = Path(name)
    if not path.is_file():
        raise UserError(f"law={name} is neither a file nor a published law{did_you_mean(name, LAWS)}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))["law"]
        return Law(**{key: float(values[key]) for key in ("E", "A", "B", "alpha", "beta")}, source=str(path))
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"law={name} holds no law; write one: packtrain plan fit runs=[…] output=law.json") from None
