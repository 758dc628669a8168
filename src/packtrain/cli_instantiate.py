"""{name: {_target_: a class, …}} → {name: object}: the open sets, where anything importable may stand"""

from __future__ import annotations

import inspect
import typing
from typing import Any

import hydra.utils
from hydra.errors import InstantiationException

from packtrain import settings
from packtrain.errors import UserError

OPEN_SETS = ("callbacks", "loggers")


def instantiate(group: str, entries: dict[str, Any] | None) -> dict[str, Any]:
    """The objects of `group`; an entry set to null is left out. Raises `UserError` for one that cannot be made."""
    made: dict[str, Any] = {}
    for name, entry in (entries or {}).items():
        if entry is None:
            continue
        where = f"{group}.{name}"
        if not isinstance(entry, dict) or "_target_" not in entry:
            raise UserError(f"{where}: expected null or a group of settings with _target_, a class to import")
        try:
            made[name] = hydra.utils.instantiate(typed(entry, where), _convert_="all")
        except InstantiationException as error:
            if isinstance(error.__cause__, UserError):
                raise error.__cause__ from error
            reason = " ".join(str(error.__cause__ or error).split("\nfull_key")[0].split())
            raise UserError(f"{where}: cannot make {entry['_target_']}: {reason[:300]}") from error
    return made


def foresee(group: str, entries: dict[str, Any] | None) -> None:
    """What `instantiate` will refuse where the job runs, as far as it is ours: other people's classes are not made on
    a login node, and a logger would begin to write."""
    for name, entry in (entries or {}).items():
        if isinstance(entry, dict) and not str(entry.get("_target_")).startswith("packtrain."):
            continue
        if group == "callbacks":
            instantiate(group, {name: entry})
        elif entry is not None:
            typed(entry, f"{group}.{name}")


def typed(entry: dict[str, Any], where: str) -> dict[str, Any]:
    """The arguments of one of our own classes as its signature wants them: `interval=often` is refused by name.

    Other people's classes get what the configuration says: their hints name types that no YAML can write.
    """
    if not str(entry["_target_"]).startswith("packtrain."):
        return entry
    target = hydra.utils.get_object(entry["_target_"]) if _exists(entry["_target_"]) else None
    if not inspect.isclass(target):
        return entry
    hints = typing.get_type_hints(target.__init__)
    return {
        key: settings.convert(hints[key], value, f"{where}.{key}") if key in hints else value
        for key, value in entry.items()
    }


def _exists(path: str) -> bool:
    try:
        hydra.utils.get_object(path)
    except Exception:  # instantiate says why, in its own words
        return False
    return True
