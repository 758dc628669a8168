"""an error of Hydra or OmegaConf → one line that says what to do"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra._internal.hydra import Hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from packtrain.cli_help import BASE, choices
from packtrain.errors import did_you_mean


def explain(error: Exception, command: str, engine: Hydra, overrides: Sequence[str]) -> str:
    """The one line for an error that came of composing `command` with `overrides`."""
    if isinstance(error, OverrideParseException):
        return _unreadable(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _missing_choice(str(error.missing_cfg_file), list(error.options or []))
    if "Ambiguous value" in str(error) or "Sweep parameters" in str(error):
        remedy = "several values make a sweep, with --multirun; a list is written [a,b], a text \"'a, b'\""
        return f"{_first_line(error)}; {remedy}"
    unknown = _unknown_key(command, engine, overrides)
    if unknown:
        return unknown
    return _first_line(error)


def _unreadable(error: OverrideParseException) -> str:
    text = error.override
    if "=" not in text:
        return f"cannot read '{text}': expected key=value"
    return f"cannot read '{text}': {_first_line(error)}; quote odd characters, e.g. \"key='a, b'\""


def _missing_choice(path: str, options: list[str]) -> str:
    group, _, choice = path.rpartition("/")
    if group == "tasks" and choice.endswith((".yaml", ".yml")):
        return f"tasks={choice}: a task of your own is given as task_file=[{choice}]"
    known = [option for option in options or choices(group) if option != BASE]  # Hydra names none for one of a list
    return f"{group}={choice}{did_you_mean(choice, known)}"


def _unknown_key(command: str, engine: Hydra, overrides: Sequence[str]) -> str | None:
    """The first override whose key the configuration does not have, with the nearest that it has."""
    try:
        parsed = OverridesParser.create(config_loader=engine.config_loader).parse_overrides(list(overrides))
        groups = [o for o in parsed if engine.config_loader.get_group_options(o.key_or_group) and not o.is_add()]
        chosen = [o.input_line for o in groups if o.input_line and not o.is_sweep_override()]
        cfg = engine.config_loader.load_configuration(command, _sound(command, engine, chosen), RunMode.MULTIRUN)
    except (HydraException, OmegaConfBaseException):
        return None
    known_groups = set(cfg.hydra.runtime.choices)
    for override in parsed:
        key = override.key_or_group
        if key.startswith("hydra.launcher.") and not override.is_add() and set(cfg.hydra.launcher) <= {"_target_"}:
            return f"'{key}': nothing is launched elsewhere here; choose a cluster that is: cluster=slurm"
        ours = key.startswith("hydra.launcher.") or not key.startswith("hydra")
        if override.is_add() or not ours or key in known_groups:
            continue
        fault = _fault(cfg, key, [g for g in known_groups if not str(g).startswith("hydra")])
        if fault:
            return fault
    return None


def _sound(command: str, engine: Hydra, chosen: list[str]) -> list[str]:
    """The group choices that this command composes with."""
    kept: list[str] = []
    for override in chosen:
        try:
            engine.config_loader.load_configuration(command, [*kept, override], RunMode.MULTIRUN)
            kept.append(override)
        except (HydraException, OmegaConfBaseException):
            continue
    return kept


def _fault(cfg: DictConfig, key: str, groups: list[str]) -> str | None:
    node: Any = cfg
    parts = key.split(".")
    for depth, part in enumerate(parts):
        if not isinstance(node, DictConfig):
            return f"unknown key '{key}': '{'.'.join(parts[:depth])}' has no parts"
        names = [str(name) for name in node if depth or name != "hydra" or key.startswith("hydra.")]
        if part not in names:
            if not names:
                return f"'{key}': there is none yet; a new entry begins with a plus: +{key}=…"
            return f"unknown key '{key}'{did_you_mean(part, {*names, *groups} if depth == 0 else names)}"
        node = OmegaConf.to_container(node, resolve=False) and node._get_node(part)
        if isinstance(node, DictConfig) and (node._is_none() or node._is_interpolation() or node._is_missing()):
            return None
    return None


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
