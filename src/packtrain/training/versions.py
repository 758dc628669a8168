"""each process that trains → a line in versions.json of its run: when, from which step, with what exactly"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import packtrain

VERSIONS = "versions.json"
PACKAGES = (
    "packtrain",
    "torch",
    "lightning",
    "litdata",
    "sentencepiece",
    "numpy",
    "safetensors",
    "xformers",
    "tensorboard",
)


def note_start(run_dir: Path, step: int, device: str) -> None:
    """Append this start to `run_dir`/versions.json, by rename; a file that cannot be read begins anew."""
    path = run_dir / VERSIONS
    try:
        starts = json.loads(path.read_text())["starts"]
        assert isinstance(starts, list)
    except (OSError, ValueError, KeyError, TypeError, AssertionError):
        starts = []
    temporary = path.with_suffix(".json.tmp")
    temporary.write_text(json.dumps({"starts": [*starts, this_start(step, device)]}, indent=1) + "\n")
    temporary.replace(path)


def this_start(step: int, device: str) -> dict[str, Any]:
    """What is not installed is left out; `commit` only where packtrain runs from its own repository."""
    found = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "from_step": step,
        "device": device,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} hardware threads",
        "python": platform.python_version(),
    }
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    commit = repository_commit(Path(packtrain.__file__))
    return {**found, "commit": commit} if commit else found


def repository_commit(file: Path) -> str | None:
    """The commit of the repository that tracks `file`, `-dirty` where it was changed; None where none does."""
    for words in (["ls-files", "--error-unmatch", file.name], ["describe", "--always", "--dirty", "--abbrev=40"]):
        try:
            done = subprocess.run(
                ["git", *words], cwd=file.parent, capture_output=True, text=True, timeout=10, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
    return done.stdout.strip() or None
