"""every check → ok | note | problem, one line each, a problem with its remedy

packtrain doctor          exit 1 where something must be mended before training
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import platform
import shutil
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from packtrain.errors import Failure


@dataclass(frozen=True)
class DoctorJob:
    format: Literal["text", "json"] = "text"
    runs_dir: str = "runs"
    min_free_gb: float = 5.0


@dataclass(frozen=True)
class Finding:
    """What one check saw. `remedy` is a command or a sentence; empty where all is well."""

    check: str
    state: Literal["ok", "note", "problem"]
    message: str
    remedy: str = ""


def run(job: DoctorJob) -> None:
    """Prints the findings; raises `Failure` where one is a problem."""
    findings = [finding for check in CHECKS for finding in examine(check, job)]
    if job.format == "json":
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for f in findings:
            print(f"{f.state:8} {f.check:12} {f.message}" + (f"; {f.remedy}" if f.remedy else ""))
    problems = [finding.check for finding in findings if finding.state == "problem"]
    if problems:
        raise Failure(f"doctor found {len(problems)} problem(s): {', '.join(problems)}; the remedies stand above")


def examine(check: Callable[[DoctorJob], Finding], job: DoctorJob) -> list[Finding]:
    """The check's finding; a check that breaks is itself a problem, not the end of the others."""
    noise = io.StringIO()  # a half-broken library talks a lot while it is imported
    with warnings.catch_warnings(), contextlib.redirect_stderr(noise):
        warnings.simplefilter("ignore")
        try:
            return [check(job)]
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else ""
            name = check.__name__.removeprefix("check_")
            return [Finding(name, "problem", f"{type(error).__name__}: {reason}", "run make install again")]


def check_python(job: DoctorJob) -> Finding:
    if sys.version_info < (3, 11):  # noqa: UP036  (pip can be told to ignore requires-python)
        return Finding("python", "problem", platform.python_version(), "use Python 3.11 or later")
    return Finding("python", "ok", f"{platform.python_version()} on {platform.platform()}")


def check_torch(job: DoctorJob) -> Finding:
    import torch

    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
    if tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2]) < (2, 11):
        return Finding("torch", "problem", f"{torch.__version__} ({build})", "pip install 'torch>=2.11'")
    return Finding("torch", "ok", f"{torch.__version__} ({build}), {torch.get_num_threads()} threads")


def check_gpu(job: DoctorJob) -> Finding:
    import torch

    from packtrain.estimate.hardware import lookup

    if not torch.cuda.is_available():
        return Finding("gpu", "note", "none seen by torch: training runs on the CPU")
    name = torch.cuda.get_device_name(0)
    gib = torch.cuda.get_device_properties(0).total_memory / 2**30
    seen = f"{torch.cuda.device_count()} x {name}, {gib:.0f} GiB each"
    if lookup(name) is None:
        return Finding("gpu", "note", f"{seen}; its peak FLOP/s is not in our table, so MFU is not logged")
    return Finding("gpu", "ok", seen)


def check_xformers(job: DoctorJob) -> Finding:
    version = installed("xformers")
    if version is None:
        return Finding("xformers", "note", "not installed: PyTorch's own attention is used")
    import torch

    if not torch.cuda.is_available():
        return Finding("xformers", "note", f"{version}, but without a CUDA GPU PyTorch's own attention is used")
    import xformers.ops  # noqa: F401  # pyright: ignore[reportMissingImports]

    return Finding("xformers", "ok", version)


def check_torchvision(job: DoctorJob) -> Finding:
    """A torchvision built for another torch breaks the import of lightning; nothing here needs torchvision."""
    version = installed("torchvision")
    if version is None:
        return Finding("torchvision", "ok", "not installed, and not needed")
    try:
        import torchvision  # noqa: F401  # pyright: ignore[reportMissingImports]
    except Exception as error:
        reason = str(error).splitlines()[0]
        return Finding(
            "torchvision", "problem", f"{version} does not fit this torch ({reason})", "pip uninstall -y torchvision"
        )
    return Finding("torchvision", "ok", version)


def check_lightning(job: DoctorJob) -> Finding:
    version = installed("lightning")
    if version is None:
        return Finding("lightning", "problem", "not installed", "pip install 'lightning>=2.6.4'")
    if tuple(int(part) for part in version.split(".")[:3] if part.isdigit()) < (2, 6, 4):
        return Finding("lightning", "problem", f"{version}, too old or withdrawn", "pip install -U lightning")
    return Finding("lightning", "ok", version)


def check_litdata(job: DoctorJob) -> Finding:
    version = installed("litdata")
    if version is None:
        return Finding("litdata", "problem", "not installed", "pip install 'litdata>=0.2.50'")
    return Finding("litdata", "ok", version)


def check_slurm(job: DoctorJob) -> Finding:
    path = shutil.which("sbatch")
    return (
        Finding("slurm", "ok", path) if path else Finding("slurm", "note", "no sbatch here: jobs run on this machine")
    )


def check_disk(job: DoctorJob) -> Finding:
    folder = Path(job.runs_dir).resolve()
    while not folder.exists():
        folder = folder.parent
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb < job.min_free_gb:
        remedy = "free some space, or set runs_dir=… to another disk"
        return Finding("disk", "problem", f"{free_gb:.1f} GB free under {folder}", remedy)
    return Finding("disk", "ok", f"{free_gb:.0f} GB free under {folder}")


def installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


CHECKS = (
    check_python,
    check_torch,
    check_gpu,
    check_xformers,
    check_torchvision,
    check_lightning,
    check_litdata,
    check_slurm,
    check_disk,
)
