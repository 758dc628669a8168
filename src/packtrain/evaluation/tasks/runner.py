"""(task, shots) → items → batches by length → every rank its share → spool → figures → TaskResult

Batches are made from all items, so what an item is computed beside does not depend on the number of ranks nor on
where a run was interrupted: the same figures to the last bit.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from packtrain.evaluation.tasks import prompts
from packtrain.evaluation.tasks.data import Data, load_data
from packtrain.evaluation.tasks.requests import Answerer, Generate, Item
from packtrain.evaluation.tasks.scoring import Figure, Kept, Scoring, Surroundings, Used, make
from packtrain.evaluation.tasks.spec import TaskSpec
from packtrain.evaluation.tasks.spool import Line, Spool

BATCH_ITEMS = 64  # asked together, and lost together by a kill
BATCH_CHARACTERS = 200_000
Watch = Callable[[Iterable[list[Item]], int, str], Iterable[list[Item]]]


@dataclass(frozen=True)
class Prepared:
    """A task at one number of shots, ready to run. used: judges, scores and tables beside its data. identity: a hash of
    all that its items depend on but the model."""

    key: str
    name: str
    spec: TaskSpec
    shots: int
    scoring: Scoring
    items: list[Item]
    data: Data
    used: dict[str, Used]
    identity: str


@dataclass(frozen=True)
class TaskResult:
    """What comes out. items: what was kept of each, with its index.  cut: items of which a prompt was too long."""

    name: str
    shots: int
    metric: str
    figures: dict[str, Figure]
    items: list[Kept]
    cut: int
    skipped: tuple[str, ...]
    files: tuple[str, ...]
    sha256: str
    used: dict[str, Used]
    identity: str

    def record(self) -> dict[str, Any]:
        """For JSON."""
        found = asdict(self)
        return {**found, "n": len(self.items)}


def prepare(name: str, spec: TaskSpec, around: Surroundings, limit: int | None = None) -> list[Prepared]:
    """One for each of `spec.shots`. All that may be wrong with a task is said here, before a model is read.

    limit: only so many rows, spread over all.
    """
    scoring = make(name, spec, around)
    used = scoring.used()
    data = load_data(name, spec.sources, around.data_dir, around.skip_malformed, scoring.needs)
    with_examples = spec.examples and max(spec.shots)
    examples = (
        load_data(f"{name} (examples)", spec.examples, around.data_dir, around.skip_malformed)
        if with_examples
        else None
    )
    found = []
    for shots in spec.shots:
        items = prompts.items(name, spec, shots, data.rows, examples.rows if examples else None, limit)
        items = [replace(item, requests=tuple(scoring.requests(item))) for item in items]
        key = name if len(spec.shots) == 1 else f"{name}@{shots}"
        options = {**spec.options, **{option: one.sha256 for option, one in used.items()}}
        settings = {
            **asdict(spec), "options": options, "shots": shots, "paper": None, "note": None, "scale": None,
        }  # fmt: skip
        chosen = [item.index for item in items] if len(items) < len(data.rows) else None
        depends = [settings, data.sha256, examples.sha256 if examples and shots else None, chosen]
        digest = hashlib.sha256(json.dumps(depends, sort_keys=True, default=str).encode()).hexdigest()
        found.append(Prepared(key, name, spec, shots, scoring, items, data, used, digest))
    return found


def batches(items: Sequence[Item]) -> list[list[Item]]:
    """Items of like length together, the longest first; those with the same examples side by side."""
    shared = Counter(item.preamble for item in items)
    groups: dict[str, int] = {}
    for item in items:
        if shared[item.preamble] > 1:
            groups.setdefault(item.preamble, len(groups))
    order = sorted(items, key=lambda item: (groups.get(item.preamble, -1), -size(item), item.index))
    found: list[list[Item]] = []
    total = 0
    for item in order:
        if not found or len(found[-1]) >= BATCH_ITEMS or total + size(item) > BATCH_CHARACTERS:
            found.append([])
            total = 0
        found[-1].append(item)
        total += size(item)
    return found


def size(item: Item) -> int:
    """About how much there is to compute for `item`, in characters."""
    texts = [
        4 * request.max_tokens * request.n if isinstance(request, Generate) else len(request.continuation)
        for request in item.requests
    ]
    return len(item.context) + sum(texts)


def run_task(
    task: Prepared, answerer: Answerer, spool: Spool | None, watch: Watch, rank: int = 0, ranks: int = 1
) -> dict[int, Line]:
    """What this rank computes of `task`, those already in the spool left out: index → line."""
    done = spool.done() if spool else {}
    work = batches(task.items)[rank::ranks]
    work = [batch for batch in work if any(item.index not in done for item in batch)]
    found: dict[int, Line] = {}
    for batch in watch(work, len(work), task.key):
        lines = compute(task, answerer, batch)
        found |= {line["index"]: line for line in lines}
        if spool:
            spool.append(line for line in lines if line["index"] not in done)
    return {**found, **done}


def compute(task: Prepared, answerer: Answerer, batch: Sequence[Item]) -> list[Line]:
    """One batch: all its requests asked together, each item scored."""
    asked = [
        (request, item.index * len(item.requests) + i) for item in batch for i, request in enumerate(item.requests)
    ]
    answers = iter(answerer.answer([request for request, _ in asked], [number for _, number in asked]))
    lines = []
    for item in batch:
        own = [next(answers) for _ in item.requests]
        kept = task.scoring.score(item, own)
        lines.append({"index": item.index, "cut": int(any(answer.cut for answer in own)), "kept": kept})
    return lines


def result(task: Prepared, lines: dict[int, Line], identity: str) -> TaskResult:
    """When all items are there: what is left to do once, and the figures."""
    ordered = [lines[item.index] for item in task.items]
    kept = task.scoring.finish([{"index": line["index"], **line["kept"]} for line in ordered])
    figures = task.scoring.figures(kept)
    return TaskResult(
        task.key, task.shots, task.spec.metric, figures, kept, sum(line["cut"] for line in ordered), task.data.skipped,
        task.data.files, task.data.sha256, task.used, identity,
    )  # fmt: skip


def part_of(output: Path) -> Path:
    """Where the items of `output` are kept until it is whole."""
    return output.with_name(output.name + ".part")
