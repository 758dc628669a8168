"""members + settings → one sbatch array script that a person can read, check and submit by hand

#SBATCH lines → which member → setup → srun starts the ranks → how they left decides: done, requeue or failed
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from packtrain import __version__
from packtrain.errors import UserError
from packtrain.launch.member import Member
from packtrain.launch.slurm_settings import SlurmSettings

LEAVING = """\
code=$?

# How the ranks left stands in the note. A run that was asked to stop has saved: it goes on when its turn comes again.
# One that lost a process starts again a few times. One that failed stays failed, with its traceback above.
# (The task's own name: the last task's number is the array's too, and would requeue all of it.)
task="${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
left() { grep -qs "^$1" "$PACKTRAIN_NOTE"; }
if [ $code -eq 0 ] || left failed; then exit $code; fi
if left requeue; then scontrol requeue "$task" && exit 0; fi
if [ $code -gt 128 ] || left lost; then
  echo "exit code $code" >> "$PACKTRAIN_NOTE.restarts"
  [ "$(wc -l < "$PACKTRAIN_NOTE.restarts")" -gt MAX_RESTARTS ] || { scontrol requeue "$task" && exit 0; }
fi
exit $code
"""


def render(members: Sequence[Member], settings: SlurmSettings, logs: Path, command: str) -> str:
    """The script; `logs` is where its array tasks log, `command` what the user typed."""
    lines = ["#!/bin/bash", *(f"#SBATCH {option}" for option in options(members, settings, logs)), ""]
    count = f"{len(members)} run" + ("s" if len(members) > 1 else "")
    lines += [f"# {count} of packtrain {__version__}, {settings.ranks} processes each. Written by:"]
    lines += [f"#   {' '.join(command.split())}", ""]
    lines += ['case "$SLURM_ARRAY_TASK_ID" in']
    lines += [f"  {index}) run=({words(member.arguments)}) ;;" for index, member in enumerate(members)]
    lines += ['  *) echo "this array has no run number $SLURM_ARRAY_TASK_ID" >&2; exit 2 ;;', "esac", ""]
    lines += ["export PYTHONUNBUFFERED=1  # what a killed process said stays in the log"]
    lines += [f"export PACKTRAIN_STOP_SIGNAL={settings.signal}"]
    lines += [f'export PACKTRAIN_NOTE={shlex.quote(str(logs))}/"${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}.note"']
    lines += ['rm -f "$PACKTRAIN_NOTE"']
    if settings.ranks > 1:
        lines += ['export MASTER_ADDR="${MASTER_ADDR:-$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)}"']
        lines += ['export MASTER_PORT="${MASTER_PORT:-$((20000 + SLURM_JOB_ID % 10000))}"']
    lines += [*settings.setup, ""]
    lines += ["# The signals to stop wait until the program has its handlers."]
    label = ("--label",) if settings.ranks > 1 else ()
    srun = words(("srun", "--kill-on-bad-exit=1", *label, *settings.srun))
    lines += [f"{srun} env --block-signal={settings.signal} --block-signal=TERM \\"]
    lines += [f'  {shlex.quote(sys.executable)} -m packtrain "${{run[@]}}"']
    return "\n".join(lines) + "\n" + LEAVING.replace("MAX_RESTARTS", str(settings.max_restarts))


def options(members: Sequence[Member], settings: SlurmSettings, logs: Path) -> list[str]:
    """The options of sbatch, one a line."""
    at_once = f"%{settings.at_once}" if settings.at_once else ""
    fixed = {
        "job-name": settings.job_name or members[0].name,
        "array": f"0-{len(members) - 1}{at_once}",
        "chdir": str(Path.cwd()),
        "output": f"{logs}/".replace("%", "%%") + "%A_%a.log",
        "open-mode": "append",
    }
    asked = {
        "partition": settings.partition,
        "account": settings.account,
        "qos": settings.qos,
        "time": settings.time,
        "nodes": settings.nodes,
        "ntasks-per-node": settings.tasks_per_node,
        "gpus-per-node": settings.gpus_per_node,
        "cpus-per-task": settings.cpus_per_task,
        "mem": settings.mem,
        "constraint": settings.constraint,
        "signal": f"{settings.signal}@{settings.signal_seconds}",
    }
    given = [f"--{key}={quoted(str(value))}" for key, value in {**fixed, **asked}.items() if value is not None]
    return [*given, "--requeue", *settings.sbatch]


def quoted(text: str) -> str:
    """As sbatch reads a value with blanks in it; others stay bare. Raises `UserError` for what it reads otherwise."""
    if re.search(r"[\"\\\n]", text):
        raise UserError(f"sbatch cannot read {text!r}: choose folders and names without double quotes and backslashes")
    return f'"{text}"' if re.search(r"[\s'#]", text) else text


def words(arguments: Sequence[str]) -> str:
    """A line of shell; `model=7b` stays bare."""
    return " ".join(shlex.quote(argument) for argument in arguments)
