"""packtrain data trace | remove | decontaminate: where a token is from, documents out of a pack, evaluations found"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from packtrain.errors import UserError


@dataclass(frozen=True)
class DataJob:
    """conf/data.yaml says which keys belong to which action."""

    action: str
    shards: str | None = None
    run: str | None = None
    sample: int | None = None
    of: str | None = None
    split: Literal["train", "held_out"] = "train"
    token: int | None = None
    count: int = 1
    ids: tuple[str, ...] = ()
    ids_file: str | None = None
    runs_dir: str = "runs"
    input: str | tuple[str, ...] | None = None
    evaluations: str | tuple[str, ...] = ()
    words: int = 13
    drop: bool = False
    output: str | None = None
    overwrite: bool = False
    processes: int | None = None
    format: Literal["text", "json"] = "text"
    executor: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("count", "words"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)}: expected at least 1")


def run(job: DataJob) -> None:
    """Does what `action` says. Raises `UserError` for an unknown one."""
    actions = {"trace": _trace, "remove": _remove, "decontaminate": _decontaminate}
    if job.action not in actions:
        raise UserError(f"packtrain data {job.action}: unknown; known: {', '.join(actions)}")
    actions[job.action](job)


def _needed(job: DataJob, *names: str) -> None:
    for name in names:
        if getattr(job, name) in (None, ()):
            raise UserError(f"packtrain data {job.action} needs {name}=…; see packtrain data --help")


def _trace(job: DataJob) -> None:
    from packtrain.data.trace import lines, told, trace

    if job.sample is not None:
        from packtrain.jobs.data_runs import place_of

        _needed(job, "run")
        pack, domain, start, count = place_of(Path(str(job.run)), job.sample, job.shards)
        split = "train"
    else:
        _needed(job, "shards", "of", "token")
        pack, domain, split = Path(str(job.shards)), str(job.of), job.split
        start, count = int(job.token or 0), job.count
    pieces = trace(pack, domain, split, start, count)
    if job.format == "json":
        print(json.dumps({"shards": str(pack), "domain": domain, "documents": told(pack, pieces)}, indent=2))
        return
    print(f"{pack}: {domain}, {split}, tokens {start:,} … {start + count:,}")
    for line in lines(pack, pieces):
        print(line)


def _remove(job: DataJob) -> None:
    from packtrain.data.removal import find, remove
    from packtrain.jobs.data_runs import sightings

    _needed(job, "shards", "output")
    wanted = list(job.ids)
    if job.ids_file is not None:
        path = Path(job.ids_file)
        if not path.is_file():
            raise UserError(f"ids_file={path}: no such file")
        wanted += [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not wanted:
        raise UserError("packtrain data remove needs ids=[ID_OR_URL,…] or ids_file=FILE")
    pack, output = Path(str(job.shards)), Path(str(job.output))
    if output.exists() and not (output.resolve() == pack.resolve() or job.overwrite):
        raise UserError(f"output={output}: exists; choose another output or overwrite=true")
    found = find(pack, wanted)
    known = {name for one in found for name in (one.entry.id, one.entry.url)}
    if missing := [name for name in wanted if name not in known]:
        raise UserError(f"ids: {missing[0]} is no id or URL in {pack} ({len(missing)} are not); nothing was removed")
    seen = list(sightings(pack, found, Path(job.runs_dir)))
    remove(pack, found, output)
    for one in found:
        print(f"removed {one.entry.id} ({one.domain}, {one.split}, {one.end - one.start:,} tokens, {one.entry.source})")
    for line in seen or [f"no run in {job.runs_dir} saw them"]:
        print(line)
    print(f"{output}: the shards without {len(found)} documents")


def _decontaminate(job: DataJob) -> None:
    from packtrain.data.decontaminate import decontaminate
    from packtrain.data.executors.registry import choose
    from packtrain.jobs.tokenizer import as_paths

    _needed(job, "input", "evaluations", "output")
    assert job.input is not None
    sets = (job.evaluations,) if isinstance(job.evaluations, str) else job.evaluations
    decontaminate(
        as_paths(job.input), sets, Path(str(job.output)), choose(job.executor, job.processes),
        job.words, job.drop, job.overwrite,
    )  # fmt: skip
