"""(command, overrides) → composed configuration → typed job → run, once or for every member of a sweep

packtrain train model=1m            one job
packtrain train -m model=1m,5m      one job after the other, each in runs/NAME/<its overrides>
packtrain train --cfg job           the configuration, nothing run
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import logging
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
import hydra.types
import hydra.version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_automatic_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from packtrain import settings
from packtrain.cli_errors import explain
from packtrain.cli_instantiate import OPEN_SETS, instantiate
from packtrain.errors import UserError

# Hydra writes nothing of its own: no folder, no log file, no copy of the configuration.
QUIET = {
    "hydra.run.dir": ".",
    "hydra.sweep.subdir": ".",
    "hydra.output_subdir": "null",
    "hydra/job_logging": "none",
    "hydra/hydra_logging": "none",
}
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
Guard = Callable[[Callable[[], int]], int]


def run(command: str, arguments: Sequence[str], guarded: Guard) -> int:
    """Runs `command` as its arguments say; returns the exit code, of a sweep the worst of its members'."""
    options = parse(arguments)
    engine = start(options.config_dir)
    try:
        if options.cfg:
            engine.show_cfg(command, quiet(options.overrides), options.cfg, options.package, options.resolve)
            return 0
        if options.info:
            logging.raiseExceptions = False  # a reader that leaves half-way is no reason for a traceback a line
            engine.show_info(options.info, command, quiet(options.overrides))
            logging.getLogger().handlers.clear()  # it prints through the root logger; what comes after must not
            return 0
        if options.multirun:
            return sweep(engine, command, options.overrides, guarded)
        cfg = engine.compose_config(command, quiet(options.overrides), hydra.types.RunMode.RUN)
        HydraConfig.instance().set_config(cfg)
        with open_dict(cfg):
            del cfg["hydra"]
        return perform(command, cfg)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, command, engine, options.overrides)) from error
    finally:
        GlobalHydra.instance().clear()


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Hydra's flags, wherever they stand among the overrides."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("-c", "--cfg", choices=("job", "hydra", "all"))
    parser.add_argument("-r", "--resolve", action="store_true")
    parser.add_argument("-p", "--package")
    parser.add_argument("-i", "--info", nargs="?", const="all", choices=INFO)
    parser.add_argument("-cd", "--config-dir")

    def refuse(message: str) -> None:
        raise UserError(f"{message}; see packtrain COMMAND --help")

    parser.error = refuse  # pyright: ignore[reportAttributeAccessIssue]
    options = parser.parse_intermixed_args(list(arguments))
    options.overrides = [with_quotes(override, options.multirun) for override in options.overrides]
    return options


def with_quotes(override: str, multirun: bool) -> str:
    """Sets the quotes that Hydra's grammar wants around a value it cannot read bare.

    `checkpoint=runs/sizes/model=1m` (a sweep's member), `prompt=def main(`. Lists and dictionaries stay as they are,
    but for the elements with a `=` in them.
    """
    key, _, value = override.partition("=")
    if re.fullmatch(r"[\w./:+-]*", value, re.ASCII) or not re.match(r"[\w~+]", key):
        return override
    if any(mark in value for mark in "'\"{}$"):
        return override if _readable(override) or value[0] in "'\"[{$" else f"{key}={_quoted(value)}"
    if value.startswith("[") and value.endswith("]"):
        return f"{key}=[{_quote_each(value[1:-1])}]" if "=" in value else override
    if multirun and "," in value:
        return f"{key}={_quote_each(value)}" if "=" in value else override
    return override if value.startswith("[") or _readable(override) else f"{key}={_quoted(value)}"


def _readable(override: str) -> bool:
    try:
        OverridesParser.create().parse_override(override)
        return True
    except HydraException:
        return False


def _quoted(value: str) -> str:
    escaped = value.replace("'", "\\'")
    return f"'{escaped}'"


def _quote_each(values: str) -> str:
    return ",".join(f"'{item.strip()}'" if "=" in item else item for item in values.split(","))


def start(config_dir: str | None = None) -> Hydra:
    """Hydra on packtrain.conf, and before it on the user's own `config_dir`."""
    GlobalHydra.instance().clear()
    hydra.version.setbase("1.3")
    search_path = create_automatic_config_search_path(None, None, "pkg://packtrain.conf")
    if config_dir is not None:
        if not Path(config_dir).is_dir():
            raise UserError(f"--config-dir {config_dir}: no such folder")
        search_path.prepend("command-line", f"file://{Path(config_dir).resolve()}")
    return Hydra.create_main_hydra2("packtrain", search_path)


def quiet(overrides: Sequence[str], **more: str) -> list[str]:
    """The overrides, with those of QUIET that the user has not set otherwise."""
    given = {override.split("=", 1)[0].lstrip("+~") for override in overrides}
    calm = {**QUIET, **more}
    return [f"{key}={value}" for key, value in calm.items() if key not in given] + list(overrides)


def perform(command: str, cfg: DictConfig) -> int:
    """The composed configuration to its typed job, and the job done."""
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise UserError(f"missing: {', '.join(missing)}; give {missing[0]}=…")
    values: Any = OmegaConf.to_container(cfg, resolve=True)
    module = importlib.import_module(f"packtrain.jobs.{command}")
    job_class = getattr(module, f"{command.title()}Job")
    job = settings.build(job_class, values)
    held = {field.name for field in dataclasses.fields(job_class)}
    made = {group: instantiate(group, values.get(group)) for group in OPEN_SETS if group in held}
    if "composed" in held:  # a job that keeps a record of its configuration gets it as it was composed
        made["composed"] = values
    module.run(dataclasses.replace(job, **made) if made else job)
    return 0


def sweep(engine: Hydra, command: str, overrides: list[str], guarded: Guard) -> int:
    """Every combination of the swept overrides through the launcher; one that fails does not stop the others."""
    parsed = OverridesParser.create(config_loader=engine.config_loader).parse_overrides(overrides)
    swept = {override.get_key_element() for override in parsed if override.is_sweep_override()}
    codes: list[int] = []

    def member(cfg: DictConfig) -> int:
        hydra_cfg = HydraConfig.get()
        params = hydra_cfg.sweeper.get("params") or {}
        own = list(hydra_cfg.overrides.task)
        folder = member_folder(own, swept | {str(key) for key in params})
        print(f"packtrain: {' '.join([command, *own])}", file=sys.stderr)
        if folder and "run_dir" in cfg:
            if not any(override.startswith("name=") for override in own):
                cfg.name = "sweep"  # its default names one run after its model: members belong together
            cfg.run_dir = f"{cfg.run_dir}/{folder}"

        def action() -> int:
            try:
                return perform(command, cfg)
            except OmegaConfBaseException as error:
                raise UserError(explain(error, command, engine, own)) from error

        code = guarded(action)
        if code == 130:
            raise KeyboardInterrupt
        codes.append(code)
        return code

    with tempfile.TemporaryDirectory(prefix="packtrain-sweep-") as scratch:  # BasicSweeper writes its multirun.yaml
        engine.multirun(command, member, quiet(overrides, **{"hydra.sweep.dir": f"'{scratch}'"}))
    return max(codes, default=0)


def member_folder(overrides: Sequence[str], swept: set[str]) -> str:
    """The folder of one member under its run: its swept overrides, or, where nothing is swept, all of them.

    `model=1m,data=text` for `packtrain train -m model=1m,5m data=python,text`. The name of the run is never part of it.
    """
    place = {"name", "runs_dir", "run_dir"}
    chosen = [o for o in overrides if o.split("=", 1)[0].lstrip("+~") not in place and not o.startswith("hydra")]
    if swept:
        chosen = [o for o in chosen if o.split("=", 1)[0] in swept]
    return re.sub(r"[^\w.=,+~@\[\]:-]", "-", ",".join(chosen))[:200]
