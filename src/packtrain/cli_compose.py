"""(command, arguments) → Hydra on conf/ → composed configuration → typed job → run"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra
import hydra.types
import hydra.version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_automatic_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from packtrain import cli_help, settings
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
LAUNCHED = ("train", "finetune")  # what a launcher starts elsewhere; every other command runs where it was typed
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


def parse(arguments: Sequence[str], command: str | None = None) -> argparse.Namespace:
    """Hydra's flags, wherever they stand among the overrides.

    A first word without `=` is the action of a command that has actions: `plan fit` is `plan action=fit`.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("-q", "--quiet", action="store_true")
    parser.add_argument("-c", "--cfg", choices=("job", "hydra", "all"))
    parser.add_argument("-r", "--resolve", action="store_true")
    parser.add_argument("-p", "--package")
    parser.add_argument("-i", "--info", nargs="?", const="all", choices=INFO)
    parser.add_argument("-cd", "--config-dir")

    def refuse(message: str) -> None:
        raise UserError(f"{message}; see packtrain COMMAND --help")

    parser.error = refuse  # pyright: ignore[reportAttributeAccessIssue]
    options = parser.parse_intermixed_args(list(arguments))
    first = options.overrides[0] if options.overrides else ""
    if command and re.fullmatch(r"[a-z]+", first) and cli_help.has_key(command, "action"):
        options.overrides[0] = f"action={first}"
    if options.quiet and command:
        if not cli_help.has_key(command, "quiet"):
            raise UserError(f"--quiet: packtrain {command} has no such choice; leave it out")
        options.overrides.append("quiet=true")
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


@contextlib.contextmanager
def engine(config_dir: str | None = None) -> Iterator[Hydra]:
    """Hydra on packtrain.conf, and before it on the user's own `config_dir`; its global state ends with the block."""
    GlobalHydra.instance().clear()
    hydra.version.setbase("1.3")
    search_path = create_automatic_config_search_path(None, None, "pkg://packtrain.conf")
    if config_dir is not None:
        if not Path(config_dir).is_dir():
            raise UserError(f"--config-dir {config_dir}: no such folder")
        search_path.prepend("command-line", f"file://{Path(config_dir).resolve()}")
    try:
        yield Hydra.create_main_hydra2("packtrain", search_path)
    finally:
        GlobalHydra.instance().clear()


def quiet(overrides: Sequence[str], **more: str) -> list[str]:
    """The overrides, with those of QUIET that the user has not set otherwise."""
    given = {override.split("=", 1)[0].lstrip("+~") for override in overrides}
    calm = {**QUIET, **more}
    return [f"{key}={value}" for key, value in calm.items() if key not in given] + list(overrides)


def checked(command: str, cfg: DictConfig) -> tuple[Any, dict[str, Any]]:
    """The typed job of a composed configuration, and the plain values it was built from; nothing is run."""
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise UserError(f"missing: {', '.join(missing)}; give {missing[0]}=…")
    values: Any = at_home(OmegaConf.to_container(cfg, resolve=True))
    module = importlib.import_module(f"packtrain.jobs.{command}")
    return settings.build(getattr(module, f"{command.title()}Job"), values), values


def at_home(values: Any) -> Any:
    """`~/x` in any value but a prompt: the shell expands it in words of its own alone, never after `output=`."""
    if isinstance(values, dict):
        return {key: value if key == "prompt" else at_home(value) for key, value in values.items()}
    if isinstance(values, list):
        return [at_home(value) for value in values]
    return os.path.expanduser(values) if isinstance(values, str) and (values + "/").startswith("~/") else values


def perform(command: str, cfg: DictConfig) -> int:
    """The composed configuration to its typed job, and the job done."""
    job, values = checked(command, cfg)
    held = {field.name for field in dataclasses.fields(job)}
    made = {group: instantiate(group, values.get(group)) for group in OPEN_SETS if group in held}
    if "composed" in held:  # a job that keeps a record of its configuration gets it as it was composed
        made["composed"] = values
    importlib.import_module(f"packtrain.jobs.{command}").run(dataclasses.replace(job, **made) if made else job)
    return 0
