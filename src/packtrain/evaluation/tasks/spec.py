"""conf/tasks/NAME.yaml → TaskSpec: where the file is, how a prompt is built, how it is scored

sources   the files, each in the format its authors publish; the first that is there is read
fields    raw row → the names that the templates below use
prompt    header + examples + prompt → what the model is given
scoring   which module of `scoring.SCORINGS` asks and scores; `options` are its own settings
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml

from packtrain import settings
from packtrain.errors import UserError, did_you_mean
from packtrain.evaluation.tasks.template import parse

MODELS = ("7B", "13B", "33B", "65B")  # the columns of the paper's tables


@dataclass(frozen=True)
class Hub:
    """A data set on the Hugging Face hub: read without a data_dir, which needs `datasets` and a network.

    parts: configurations that together are the set, one behind the other.
    """

    repository: str
    split: str
    config: str | None = None
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """One file, or several: `path` below data_dir may hold a `*`, and what it matched is the raw field `_match`.

    fields: canonical name ← where it is in the raw row (see `data.canonical`); empty: the rows are as the templates
    want them.  columns: the names of a table without a header (where the first row is those names, it is one).
    each: lists of a raw row that are walked together, a row of its own for each place.  where: only rows with these
    values (11..510: from 11 to 510).  url: where to get the file.
    """

    path: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    each: tuple[str, ...] = ()
    where: dict[str, Any] = field(default_factory=dict)
    url: str = ""
    hub: Hub | None = None

    def __post_init__(self) -> None:
        if not self.path and self.hub is None:
            raise UserError("a task's source names no file: give path=FILE, below data_dir, or hub")
        check_fields(self.fields.values())


@dataclass(frozen=True)
class TaskSpec:
    """One task. Templates are `template.fill`'s.

    header: once, before everything (over the item's row).  prompt: what the model is given of a row.  answer: what
    follows the prompt in an example.  separator: between examples.  shots: numbers of examples, a result for each.
    examples: where they are from; empty: other rows of the set itself.  draw: the first of them, or others for each
    item, by chance seeded by the item's number.  same: a field that item and example must share.
    note: what a reader of the figures must know, said below the table.
    metric: the figure that the table shows first.  scale: what the table multiplies a figure with.
    paper: figure (with examples figure@shots) → the paper's 7B, 13B, 33B, 65B.
    """

    scoring: str
    sources: tuple[Source, ...]
    prompt: str
    metric: str
    note: str = ""
    header: str = ""
    answer: str = ""
    separator: str = "\n\n"
    shots: tuple[int, ...] = (0,)
    examples: tuple[Source, ...] = ()
    draw: Literal["first", "random"] = "first"
    same: str | None = None
    scale: float = 100.0
    options: dict[str, Any] = field(default_factory=dict)
    paper: dict[str, dict[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.sources:
            raise UserError("a task has no sources: say where its rows are")
        if not self.shots or min(self.shots) < 0:
            raise UserError(f"shots={list(self.shots)}: expected numbers of examples, 0 or more")
        if max(self.shots) and not self.answer:
            raise UserError(f"shots={list(self.shots)} needs `answer`: what follows the prompt in an example")
        for template in (self.header, self.prompt, self.answer):
            parse(template)


def check_fields(fields: Iterable[Any]) -> None:
    """Raises `UserError` for a template among them that cannot be read."""
    for field_ in fields:
        if isinstance(field_, (list, tuple)):
            check_fields(field_)
        elif isinstance(field_, str) and "{" in field_ and not field_.startswith("="):
            parse(field_)


def conf_tasks() -> Any:
    """The folder of the tasks that packtrain knows."""
    return files("packtrain.conf") / "tasks"


def load(names: Iterable[str]) -> dict[str, TaskSpec]:
    """name of a task, of a group of tasks, or path of a YAML file → their specs, in order and each once; no Hydra.

    `nq_open@5` asks the task behind 5 examples alone.
    """
    found: dict[str, TaskSpec] = {}
    for name in names:
        behind = re.fullmatch(r"(.+)@(\d+)", name)
        if behind:
            found |= {key: replace(spec, shots=(int(behind[2]),)) for key, spec in load([behind[1]]).items()}
        else:
            found |= _named(name)
    return found


def _named(name: str) -> dict[str, TaskSpec]:
    if name.endswith((".yaml", ".yml")):
        return load_file(Path(name))
    known = sorted(item.name[:-5] for item in conf_tasks().iterdir() if item.name.endswith(".yaml"))
    if name not in known:
        raise UserError(f"tasks={name}{did_you_mean(name, known)}")
    values = yaml.safe_load((conf_tasks() / f"{name}.yaml").read_text(encoding="utf-8"))
    if "defaults" in values:
        return load(values["defaults"])
    return {name: settings.build(TaskSpec, values, f"tasks.{name}")}


def load_file(path: Path) -> dict[str, TaskSpec]:
    """A user's own task, named as its file. Raises `UserError` for what is no YAML of a task."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"task_file={path}: {error.strerror}; give a YAML file like those in conf/tasks") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"task_file={path}: no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, Mapping):
        raise UserError(f"task_file={path}: expected a group of settings like those in conf/tasks")
    try:
        return {path.stem: settings.build(TaskSpec, values)}
    except UserError as error:
        raise UserError(f"task_file={path}: {error}") from error
