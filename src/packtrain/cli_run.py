"""what the user typed → shown, run here, or handed to a launcher

packtrain train model=1m                   one job, here
packtrain train -m model=1m,5m             one job after the other, each in runs/NAME/<its overrides>
packtrain train model=7b cluster=slurm     handed to Hydra's launcher of that name, with -m or without
packtrain train --cfg job                  the configuration, nothing run
"""

from __future__ import annotations

import argparse
import logging
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from hydra_plugins.packtrain_slurm.slurm_launcher import SlurmLauncher
from hydra_plugins.packtrain_slurm.torchrun_launcher import TorchrunLauncher
from packtrain import stop
from packtrain.cli_compose import LAUNCHED, checked, engine, parse, perform, quiet
from packtrain.cli_errors import explain
from packtrain.cli_instantiate import OPEN_SETS, foresee
from packtrain.errors import UserError
from packtrain.launch.member import Member
from packtrain.report.failures import note_member

Guard = Callable[[Callable[[], int]], int]
IN_PLACE = "hydra._internal.core_plugins."  # where Hydra's own launcher lives
PLACE = ("name", "runs_dir", "run_dir")


def run(command: str, arguments: Sequence[str], guarded: Guard) -> int:
    """Runs `command` as its arguments say; returns the exit code, of a sweep the worst of its members'."""
    options = parse(arguments, command)
    with engine(options.config_dir) as hydra:
        try:
            return composed(hydra, command, options, guarded)
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(explain(error, command, hydra, options.overrides)) from error


def composed(engine: Hydra, command: str, options: argparse.Namespace, guarded: Guard) -> int:
    """Shows, performs or hands on what the options say; returns the exit code. Raises what Hydra raises."""
    here = {} if command in LAUNCHED and not dry(options.overrides) else {"hydra/launcher": "basic"}
    if options.cfg:
        engine.show_cfg(command, quiet(options.overrides), options.cfg, options.package, options.resolve)
        return 0
    if options.info:
        logging.raiseExceptions = False  # a reader that leaves half-way is no reason for a traceback a line
        engine.show_info(options.info, command, quiet(options.overrides))
        logging.getLogger().handlers.clear()  # it prints through the root logger; what comes after must not
        return 0
    options.overrides = [*options.overrides, *(f"{key}={value}" for key, value in here.items())]
    if options.multirun:
        return Sweep(engine, command, options, guarded).run()
    cfg = engine.compose_config(command, quiet(options.overrides), RunMode.RUN)
    elsewhere = not str(cfg.hydra.launcher._target_).startswith(IN_PLACE)
    if elsewhere and not cfg.get("dry_run"):  # cluster=slurm without -m: an array of one
        return Sweep(engine, command, options, guarded).run()
    HydraConfig.instance().set_config(cfg)
    with open_dict(cfg):
        del cfg["hydra"]
    return perform(command, cfg)


def dry(overrides: Sequence[str]) -> bool:
    """Whether the last word on `dry_run` is true, in whatever letters: then nothing is launched."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    said = [override.value() for override in parsed if override.key_or_group == "dry_run"]
    return bool(said) and said[-1] is True


class Sweep:
    """Every combination of the swept overrides through Hydra's launcher, which is given this object as its task.

    Hydra's own calls it, and the member runs in this process; ours (hydra_plugins) ask `plan` what to start elsewhere.
    """

    def __init__(self, engine: Hydra, command: str, options: argparse.Namespace, guarded: Guard) -> None:
        self.engine, self.command, self.guarded = engine, command, guarded
        self.overrides: list[str] = options.overrides
        self.several: bool = options.multirun
        self.config_dir: str | None = options.config_dir
        flags = [*(["-m"] if self.several else []), *([f"--config-dir={self.config_dir}"] if self.config_dir else [])]
        self.typed = shlex.join(["packtrain", command, *flags, *self.overrides])
        parsed = OverridesParser.create(config_loader=engine.config_loader).parse_overrides(self.overrides)
        self.swept = {str(override.get_key_element()) for override in parsed if override.is_sweep_override()}
        self.codes: list[int] = []
        self.folders: set[str] = set()  # of members, each within the sweep's

    def run(self) -> int:
        """One that fails does not stop the others."""
        for launcher in (SlurmLauncher, TorchrunLauncher):  # Hydra's own search finds none in an editable install
            Plugins.instance().register(launcher)
        with tempfile.TemporaryDirectory(prefix="packtrain-sweep-") as scratch:  # BasicSweeper writes multirun.yaml
            self.engine.multirun(self.command, self, quiet(self.overrides, **{"hydra.sweep.dir": f"'{scratch}'"}))
        return max(self.codes, default=0)

    def __call__(self, cfg: DictConfig) -> int:
        own = list(HydraConfig.get().overrides.task)
        print(f"packtrain: {' '.join([self.command, *own])}", file=sys.stderr)

        said: list[str] = []

        def action() -> int:
            try:
                return perform(self.command, self.placed(cfg, own))
            except OmegaConfBaseException as error:
                said.append(explain(error, self.command, self.engine, own))
                raise UserError(said[0]) from error
            except Exception as error:
                said.append(" ".join(str(error).split()))
                raise

        return self.ended(self.guarded(action), str(cfg.get("run_dir")), *said)

    def ended(self, code: int, run_dir: str, line: str = "") -> int:
        """Counts the exit code of one member, and keeps what it said; an interrupted one ends the sweep, as one does
        that was asked to stop in its last step and had finished by then.
        """
        if code == 130:
            raise stop.Told
        if run_dir in self.folders:
            note_member(run_dir, code, line)
        if stop.late() is not None:
            raise KeyboardInterrupt
        self.codes.append(code)
        return code

    def plan(self, cfg: DictConfig, own: list[str], ranks: int | None, unless: str | None = None) -> Member:
        """The member checked as a job of so many processes, and the command line that runs it in place. What it reads
        must be here where `unless` says what to do if it is not. Raises `UserError`."""
        from packtrain.training.setup import fits, look_for

        cfg = self.placed(cfg, own)
        try:
            job, values = checked(self.command, cfg)
            for group in OPEN_SETS:
                foresee(group, values.get(group))
            if ranks and self.command == "train" and not job.dry_run:
                fits(job, ranks)
        except OmegaConfBaseException as error:
            raise UserError(explain(error, self.command, self.engine, own)) from error
        if values.get("dry_run"):
            raise UserError("a dry run counts on this machine and is not submitted: give dry_run=true beside -m")
        if unless is not None:
            look_for(job, unless)
        kept = [override for override in own if override.split("=", 1)[0] not in ("name", "run_dir")]
        where = [f"--config-dir={Path(self.config_dir).resolve()}"] if self.config_dir else []
        arguments = (self.command, *where, *kept, f"name={cfg.name}", f"run_dir={cfg.run_dir}", "hydra/launcher=basic")
        return Member(str(cfg.name), str(cfg.run_dir), arguments)

    def placed(self, cfg: DictConfig, own: Sequence[str]) -> DictConfig:
        """A member of a sweep gets a folder of its own."""
        if not self.several or "run_dir" not in cfg:
            return cfg
        swept = self.swept | {str(key) for key in HydraConfig.get().sweeper.get("params") or {}}
        folder = member_folder(own, swept)
        if folder:
            if not any(override.startswith("name=") for override in own):
                cfg.name = "sweep"  # its default names one run after its model: members belong together
            cfg.run_dir = f"{cfg.run_dir}/{folder}"
            self.folders.add(str(cfg.run_dir))
        return cfg


def member_folder(overrides: Sequence[str], swept: set[str]) -> str:
    """The folder of one member under its run: its swept overrides, or, where nothing is swept, all of them.

    `model=1m,data=text` for `packtrain train -m model=1m,5m data=python,text`. The name of the run is never part of it.
    """
    chosen = [o for o in overrides if o.split("=", 1)[0].lstrip("+~") not in PLACE and not o.startswith("hydra")]
    if swept:
        chosen = [o for o in chosen if o.split("=", 1)[0] in swept]
    return re.sub(r"[^\w.=,+~@\[\]:-]", "-", ",".join(chosen))[:200]
