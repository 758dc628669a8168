"""raw input ─domain: read, clean, split→ DIR/{train,held_out}-00000.jsonl.zst + DIR/report.json

Made once: the settings stand in the report, and the same command again does nothing. Published by rename.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from tqdm import tqdm

from packtrain.data.code_version import code_version
from packtrain.data.complete import Executor, Rules
from packtrain.data.documents import DocumentWriter
from packtrain.data.domain import Domain, Generator, Source
from packtrain.data.domains.registry import choose
from packtrain.data.executors.local import LocalExecutor
from packtrain.data.files import hidden
from packtrain.data.minhash import MinHash
from packtrain.data.origin import digest, name_of, size_of
from packtrain.data.plan import Plan
from packtrain.data.publish import already_made, publish_with_work
from packtrain.data.report import Report
from packtrain.data.report_lines import SHOWN_SKIPS, counts, skip_lines, skipped, summary
from packtrain.data.run_steps import run_steps, units_of
from packtrain.data.statistics import RAW_SAMPLES, Statistics, pairs
from packtrain.data.step import AnyStep, printable
from packtrain.errors import UserError

REPORT = "report.json"
VERSION = 1  # raise it when a generator changes what it makes
FIRST_LEFT_OUT = 20
# The settings; what makes the documents in a folder, given another for what is made on the way and its fingerprint
Work = tuple[dict[str, Any], Callable[[Path, Path, str], dict[str, Any]]]


@dataclass(frozen=True)
class PrepareOptions:
    """keep_dropped: also write what was dropped, with the reason. processes: null is one a core.

    on_error, retries, timeout: what becomes of a unit whose process dies or hangs, or whose file cannot be read.
    minhash: a step after all of the domain's.
    """

    keep_dropped: bool = False
    processes: int | None = None
    on_error: Literal["skip", "stop"] = "skip"
    retries: int = 2
    timeout: float = 600.0
    minhash: MinHash = field(default_factory=MinHash)

    def __post_init__(self) -> None:
        if self.processes is not None and self.processes < 0:
            expected = "expected at least 1, null for one a core, or 0 for none"
            raise UserError(f"prepare.processes={self.processes}: {expected}")
        self.rules.check("prepare")

    @property
    def rules(self) -> Rules:
        return Rules(self.on_error, self.retries, self.timeout)

    @property
    def steps(self) -> tuple[AnyStep, ...]:
        """Those of any domain."""
        return (self.minhash,) if self.minhash.bands else ()


def prepare(
    domain: str | Mapping[str, Any],
    source: Source | None,
    output: Path,
    held_out: float,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
    options: PrepareOptions = PrepareOptions(),
    executor: Executor | None = None,
) -> dict[str, Any]:
    """Makes the documents of one domain and returns the report. Made already with the same settings: does nothing.

    domain: its name, or its name and parameters as in conf/domain/<name>.yaml. executor: by default processes of this
    machine. Raises `UserError`: unknown domain or parameter, no input, nothing kept, an output of other settings.
    """
    maker, parameters = choose({"name": domain} if isinstance(domain, str) else domain)
    if isinstance(source, Path) and not source.exists():
        raise UserError(f"input={source}: no such file or directory")
    if isinstance(source, str) and not (isinstance(maker, Domain) and maker.urls):
        raise UserError(f"input={source}: domain={maker.name} reads local files; fetch it first")
    if isinstance(maker, Generator):
        _check_generator(maker, options)
        if not isinstance(executor, LocalExecutor | None):
            say(f"domain={maker.name}: made as a whole by this process; executor= is for domains that read files")
    work = _generated(maker, source, held_out) if isinstance(maker, Generator) else None
    if isinstance(maker, Domain):
        source = maker.default() if source is None and maker.default is not None else source
        if source is None:
            raise UserError(f"domain={maker.name} needs input=PATH, {maker.needs_input}")
        executor = executor or LocalExecutor(processes=options.processes)
        work = _prepared(maker, maker.adjust(source, parameters), source, held_out, options, executor)
    assert work is not None
    return _made(maker.name, *work, output, overwrite, say)


def _check_generator(maker: Generator, options: PrepareOptions) -> None:
    if options.keep_dropped:
        raise UserError(f"prepare.keep_dropped=true: domain={maker.name} keeps nothing of what it drops; leave it out")
    if options.steps:
        raise UserError(f"prepare.minhash: domain={maker.name} is made as a whole, without steps; leave it out")


def _generated(maker: Generator, source: Any, held_out: float) -> Work:
    settings = {
        "domain": maker.name,
        "input": None if source is None else str(source),
        "origin": maker.origin(source),
        "held_out": held_out,
        "version": VERSION,
        "code": code_version(f"packtrain.data.domains.{maker.name}"),
    }

    def make(folder: Path, work: Path, fingerprint: str) -> dict[str, Any]:
        report, seen = Report(), Statistics(RAW_SAMPLES)
        with DocumentWriter(folder) as writer:
            documents = maker.generate(source, held_out, report)
            for document in tqdm(documents, desc=f"prepare {maker.name}", unit=" documents", delay=1, disable=None):
                writer.write(document)
                report.keep(document)
                seen.add(document)
        return {**report.values(), "after": seen.values(), "samples": pairs(Statistics(), seen)}

    return settings, make


def _prepared(
    maker: Domain, parameters: Any, source: Source, held_out: float, options: PrepareOptions, executor: Executor
) -> Work:
    files = [(path, name_of(path, source)) for path in maker.inputs(source, parameters)]
    _check_names(name for _, name in files)
    values, further = dataclasses.asdict(parameters), [type(step).__module__ for step in options.steps]
    settings = {
        "domain": maker.name,
        "input": str(source),
        "origin": digest(files),
        "held_out": held_out,
        "version": f"{VERSION}.{maker.version}",
        "code": code_version("packtrain.data.run_steps", f"packtrain.data.domains.{maker.name}", *further),
        "parameters": values,
        "keep_dropped": options.keep_dropped,
    }
    if options.steps:
        settings["steps"] = [{"name": step.name, **dataclasses.asdict(cast(Any, step))} for step in options.steps]
    if named := sorted(_named(values)):  # trained anew under the same name, a model makes other documents
        settings["models"] = digest((path, str(path)) for path in named)

    def make(folder: Path, work: Path, fingerprint: str) -> dict[str, Any]:
        sizes = [size_of(path) for path, _ in files]
        units = units_of(files, sizes)
        keep, further = options.keep_dropped, options.steps
        plan = Plan(maker.name, parameters, tuple(units), work, fingerprint, held_out, keep, further)
        size = dict(zip((name for _, name in files), sizes, strict=True))
        weights = [sum(size[name] for _, name in unit) for unit in units]
        made = run_steps(plan, folder, weights, executor, options.rules)
        left = _left_out(source, {path for path, _ in files})
        return {**made, "not_read": {"count": len(left), "first": left[:FIRST_LEFT_OUT]}}

    return settings, make


def _check_names(names: Iterable[str]) -> None:
    """Documents are known by their file's name: read twice, a file would be two files of one name."""
    for name, count in Counter(names).items():
        if count > 1:
            raise UserError(f"input: {printable(name)} is there {count} times; name every file once")


def _left_out(source: Source, files: Collection[Source]) -> list[str]:
    """Files in the input folder that the domain does not take: other kinds or sites; none of folders."""
    if not isinstance(source, Path) or not source.is_dir() or any(isinstance(f, Path) and f.is_dir() for f in files):
        return []
    below = (path.relative_to(source) for path in source.rglob("*") if path.is_file() and path not in files)
    return sorted(printable(str(path)) for path in below if not hidden(path))


def _named(values: Mapping[str, Any]) -> Iterator[Path]:
    """The files and folders that parameters name: models, lists of words."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _named(value)
        elif key in ("model", "path") and isinstance(value, str) and Path(value).exists():
            yield Path(value)


def _made(
    name: str,
    settings: dict[str, Any],
    make: Callable[[Path, Path, str], dict[str, Any]],
    output: Path,
    overwrite: bool,
    say: Callable[[str], None],
) -> dict[str, Any]:
    existing = read_report(output)
    if already_made(output, settings, existing and existing.get("settings"), overwrite, say):
        return existing or {}
    fingerprint = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    with publish_with_work(output, fingerprint, say) as (work, folder):
        # As JSON gives it back, so that what is returned is what a reader will find.
        report = json.loads(json.dumps({"domain": name, **make(folder, work, fingerprint), "settings": settings}))
        if not report["kept"]:
            reasons = [why for why in (counts(report["dropped"]), skipped(report)) if why] or ["nothing was read"]
            raise UserError(f"domain={name}: no documents to keep ({'; '.join(reasons)}); give another input=PATH")
        (folder / REPORT).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    say(f"{output}: {summary(report)}")
    if left := report.get("not_read", {}).get("first"):
        more = f" and {report['not_read']['count'] - len(left[:SHOWN_SKIPS])} more" if len(left) > SHOWN_SKIPS else ""
        say(f"{output}: not read, of other kinds or not wanted: {', '.join(left[:SHOWN_SKIPS])}{more}")
    for line in skip_lines(report):
        say(f"{output}: {line}")
    return report


def read_report(directory: Path) -> dict[str, Any] | None:
    """DIR/report.json, or None where there is none that can be read."""
    try:
        values = json.loads((directory / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None
