"""write step-N.tmp/ → checkpoint.json (the commit marker) → fsync → rename to step-N/     newest_intact: read backwards

    runs/NAME/checkpoints/step-00000120/
        model.safetensors     fp32 weights under Meta's names                      } kind "whole": one process
        state.pt              optimiser, loops, callbacks: tensors and plain values, read with weights_only
        shard-*.safetensors   each rank's rectangles of weights and moments        } kind "sharded": sharded.py
        checkpoint.json       format version, kind, step, tokens, fingerprints, and size and SHA-256 of every file above

A directory without its marker never was a checkpoint; one whose files differ from it is damaged and is passed over.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from packtrain.errors import Failure, UserError

FORMAT_VERSION = 2  # 1 had no `kind`: all were whole
READABLE = (1, 2)
MARKER = "checkpoint.json"
OWN_SUM = "sha256_of_the_rest"  # of the marker itself; those of before have none
FOLDER = "checkpoints"
CHOSEN = "chosen.json"  # in a run's folder: the checkpoint that was the best on held-out text or tasks


def checkpoint_path(run_dir: Path | str, step: int) -> Path:
    return Path(run_dir) / FOLDER / f"step-{step:08d}"


def commit(path: Path, write: Callable[[Path], None], meta: Mapping[str, Any]) -> None:
    """Make `path` a committed checkpoint: `write(folder)` fills a temporary folder, which is renamed when it is whole.

    A process killed at any moment leaves either no `path` or a complete one. An existing `path` (the same step, saved
    before a kill that fell between the save and the next log line) is replaced. Raises `Failure` on a full disk.
    """
    temporary = temporary_of(path)
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        write(temporary)
        seal(temporary, path, {"kind": "whole", **meta}, {f.name: describe(f) for f in sorted(temporary.iterdir())})
    except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors wrap a full disk in their own
        shutil.rmtree(temporary, ignore_errors=True)
        raise Failure(why_not_written(path, error)) from error


def temporary_of(path: Path) -> Path:
    """Where a checkpoint is written before it is one."""
    return path.with_name(path.name + ".tmp")


def seal(temporary: Path, path: Path, meta: Mapping[str, Any], files: Mapping[str, Any]) -> None:
    """Writes the marker, waits for the disk, renames `temporary` to `path`. Raises `OSError`."""
    told = {"format_version": FORMAT_VERSION, **meta, "files": dict(files)}
    (temporary / MARKER).write_text(json.dumps({**told, OWN_SUM: own_sum(told)}, indent=1) + "\n")
    for file in temporary.iterdir():
        _sync(file)
    if path.exists():
        shutil.rmtree(path)
    os.rename(temporary, path)
    _sync(path.parent)


def why_not_written(path: Path, error: BaseException) -> str:
    """One line with the remedy."""
    reason = getattr(error, "strerror", None) or (str(error).strip() or type(error).__name__).splitlines()[0]
    return (
        f"could not write checkpoint {path.name}: {reason}; free some space under {path.parent} "
        "and run the same command again: it continues from the checkpoint before"
    )


def read_meta(path: Path) -> dict[str, Any]:
    """What the commit marker says. Raises `UserError` where `path` is no checkpoint or one of an unknown format."""
    meta = _marker(path)
    if meta is None:
        raise UserError(f"{path} is no finished checkpoint: no readable {MARKER} in it")
    version = meta["format_version"]
    if version not in READABLE:
        known = " and ".join(map(str, READABLE))
        raise UserError(f"{path} has checkpoint format {version}, this packtrain reads {known}: upgrade it")
    return {"kind": "whole", **{key: value for key, value in meta.items() if key != OWN_SUM}}


def damage(path: Path) -> str | None:
    """What is wrong with the checkpoint; None where every file has the size and the hash it was committed with.

    Raises `UserError` for another format version: that is no damage, and must not be passed over for an older one.
    """
    if _marker(path) is None:
        return f"no readable {MARKER}"
    meta = read_meta(path)
    for name, recorded in meta["files"].items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != recorded["bytes"]:
            return f"{name} has {file.stat().st_size} bytes instead of {recorded['bytes']}"
        if _sha256(file) != recorded["sha256"]:
            return f"{name} has another checksum than when it was saved"
    return None


def committed(run_dir: Path | str) -> list[Path]:
    """The checkpoints of a run that have their marker, oldest first (not verified)."""
    folder = Path(run_dir) / FOLDER
    return sorted(path for path in folder.glob("step-*") if path.suffix != ".tmp" and (path / MARKER).is_file())


def metas(run_dir: Path | str) -> list[tuple[Path, dict[str, Any]]]:
    """Those of the `committed` whose marker can be read, with what it says."""
    return [(path, read_meta(path)) for path in committed(run_dir) if _marker(path) is not None]


def newest_intact(run_dir: Path | str, say: Callable[[str], None] = print) -> Path | None:
    """The newest checkpoint that verifies; each damaged one passed over is said in a line. None where there is none."""
    folder = Path(run_dir) / FOLDER
    candidates = sorted(path for path in folder.glob("step-*") if path.is_dir() and path.suffix != ".tmp")
    for number, path in reversed(list(enumerate(candidates))):
        problem = damage(path)
        if problem is None:
            return path
        then = "falling back to the one before it" if number else "and there is none before it"
        say(f"checkpoint {path} is damaged ({problem}): {then}")
    return None


def resolve(path: Path | str, say: Callable[[str], None] = print) -> Path:
    """A checkpoint from what a user names: a run folder (the checkpoint it chose, or else its newest intact one) or one
    checkpoint.

    Raises `UserError` where there is none, `Failure` where the one named is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path} does not exist; give a run folder (checkpoint=runs/NAME) or one of its checkpoints")
    if (path / MARKER).exists() or path.name.startswith("step-"):
        problem = damage(path)
        if problem:
            raise Failure(
                f"checkpoint {path} is damaged ({problem}); name the run folder to take the newest intact one"
            )
        return path
    found = chosen(path, say) or newest_intact(path, say)
    if found is None:
        raise UserError(f"{path} holds no intact checkpoint; train first: packtrain train name={path.name}")
    return found


def choose(run_dir: Path | str, step: int, metric: str, value: float) -> None:
    """Writes which checkpoint `resolve` takes of this run, by rename."""
    temporary = Path(run_dir) / (CHOSEN + ".tmp")
    temporary.write_text(json.dumps({"step": step, "metric": metric, "value": value}) + "\n")
    temporary.replace(Path(run_dir) / CHOSEN)


def chosen(run_dir: Path | str, say: Callable[[str], None] = print) -> Path | None:
    """The intact checkpoint that the run chose, said in a line; None where it chose none."""
    try:
        found = json.loads((Path(run_dir) / CHOSEN).read_text())
        path = checkpoint_path(run_dir, int(found["step"]))
        why = f"{found['metric']} {found['value']:.4f}"
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if (problem := damage(path)) is not None:
        say(f"{path}, the checkpoint that was chosen, is damaged ({problem})")
        return None
    say(f"{run_dir}: the checkpoint of step {found['step']}, chosen by its {why}")
    return path


def retain(
    run_dir: Path | str, keep_last: int, keep_every_steps: int | None, since: int | None = None, best: int | None = None
) -> list[Path]:
    """Delete all but the newest `keep_last`, those at multiples of `keep_every_steps`, those of step `since` and later,
    and that of step `best`; returns what was deleted."""
    doomed = []
    for path in committed(run_dir)[: -keep_last if keep_last > 0 else None]:
        step = int(path.name.removeprefix("step-"))
        if (keep_every_steps and step % keep_every_steps == 0) or (since is not None and step >= since) or step == best:
            continue
        # The marker goes first: a deletion cut short must not leave something that looks like a checkpoint.
        (path / MARKER).unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)
        doomed.append(path)
    return doomed


def own_sum(meta: Mapping[str, Any]) -> str:
    """What a marker says of itself: the SHA-256 of the rest of it, its keys in order."""
    rest = {key: value for key, value in meta.items() if key != OWN_SUM}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _marker(path: Path) -> dict[str, Any] | None:
    """None where there is none, or one that a flipped bit has made say something else."""
    try:
        meta = json.loads((path / MARKER).read_text())
        whole = meta.get(OWN_SUM, own_sum(meta)) == own_sum(meta)
        for entry in meta["files"].values():
            whole = whole and {"bytes", "sha256"} <= entry.keys()
        return meta if whole and {"format_version", "step"} <= meta.keys() else None
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return None


def describe(file: Path) -> dict[str, Any]:
    """What the marker says of a file."""
    return {"bytes": file.stat().st_size, "sha256": _sha256(file)}


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
