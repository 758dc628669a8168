"""sources + data_dir → the file that is there → raw rows → canonical rows, and a fingerprint of the bytes"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packtrain.data.hub import hub_rows
from packtrain.data.rows import Raw, read
from packtrain.errors import UserError
from packtrain.evaluation.tasks.spec import Hub, Source
from packtrain.evaluation.tasks.template import Absent, fill, look

Row = dict[str, Any]


@dataclass(frozen=True)
class Data:
    """Rows under the names that the templates use. sha256: of the files' bytes (of the rows, where from the hub).
    skipped: what was wrong with the rows that were left out."""

    rows: list[Row]
    files: tuple[str, ...]
    sha256: str
    skipped: tuple[str, ...] = ()


def load_data(
    name: str, sources: Sequence[Source], data_dir: Path | None, skip: bool = False, needs: tuple[str, ...] = ()
) -> Data:
    """The first of `sources` that is below `data_dir`; without a data_dir, the one on the hub.

    needs: fields that every row must have.  skip: malformed rows are left out and told in `Data.skipped`. Raises
    `UserError`: no file (with where to get it), a malformed row (with its line), no rows.
    """
    for source in sources:
        paths = find(source, data_dir)
        if paths:
            return _checked(name, _from_files(paths, Collected(source, skip, needs)))
    for source in sources if data_dir is None else ():
        if source.hub is not None:
            return _checked(name, _from_hub(name, source.hub, Collected(source, skip, needs)))
    raise UserError(missing(name, sources, data_dir))


def missing(name: str, sources: Sequence[Source], data_dir: Path | None) -> str:
    """The one line for a file that is not there: where it was looked for, and where to get it."""
    wanted = " or ".join(source.path for source in sources if source.path)
    urls = " or ".join(dict.fromkeys(source.url for source in sources if source.url))
    if data_dir is None:
        return f"task {name}: give data_dir=PATH, the folder that holds {wanted}" + (f", from {urls}" if urls else "")
    hub = next((f", or leave data_dir out to read {s.hub.repository} from the hub" for s in sources if s.hub), "")
    return f"task {name}: no {wanted} below data_dir={data_dir}" + (f"; get it from {urls}" if urls else "") + hub


def find(source: Source, data_dir: Path | None) -> list[tuple[Path, str]]:
    """(file, what `*` matched) in the order of the names."""
    if data_dir is None or not source.path:
        return []
    if "*" not in source.path:
        path = data_dir / source.path
        return [(path, "")] if path.is_file() else []
    pattern = re.compile("(.*?)".join(re.escape(part) for part in source.path.split("*")))
    found = sorted(path for path in data_dir.glob(source.path) if path.is_file())
    matches = [(path, pattern.fullmatch(path.relative_to(data_dir).as_posix())) for path in found]
    return [(path, match[1]) for path, match in matches if match]


def _from_files(paths: Sequence[tuple[Path, str]], found: Collected) -> Data:
    digest = hashlib.sha256()
    for path, match in paths:
        for place, row in read(path, found.source.columns):
            found.add(place, row, match)
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return Data(found.rows, tuple(str(path) for path, _ in paths), digest.hexdigest(), tuple(found.skipped))


class Collected:
    """Raw rows made canonical, one after the other."""

    def __init__(self, source: Source, skip: bool, needs: tuple[str, ...]) -> None:
        self.source, self.skip, self.needs = source, skip, needs
        self.rows: list[Row] = []
        self.skipped: list[str] = []

    def add(self, place: str, row: Raw | UserError, match: str = "") -> None:
        try:
            if isinstance(row, UserError):
                raise row
            whole = [canonical(raw | {"_match": match}, self.source, place) for raw in _each(row, self.source, place)]
            absent = [field for one in whole for field in self.needs if field not in one]
            if absent:
                raise UserError(f"{place}: has no '{absent[0]}'; mend or remove the row")
            self.rows += whole
        except UserError as error:
            if not self.skip:
                raise UserError(f"{error} (skip_malformed=true leaves it out)") from error
            self.skipped.append(str(error))


def _from_hub(name: str, hub: Hub, collected: Collected) -> Data:
    places = []
    for config in hub.parts or (hub.config,):
        found = hub_rows(hub.repository, config, hub.split, f"task {name}", "give the file below data_dir=PATH")
        places.append(" ".join(part for part in (hub.repository, config, hub.split) if part))
        for number, row in enumerate(found, 1):
            collected.add(f"{places[-1]}, row {number}", row)
    digest = hashlib.sha256(repr(collected.rows).encode()).hexdigest()
    return Data(collected.rows, tuple(places), digest, tuple(collected.skipped))


def _checked(name: str, data: Data) -> Data:
    if not data.rows:
        raise UserError(f"task {name}: {', '.join(data.files)} holds no row; get it anew")
    return data


def _each(row: Raw, source: Source, place: str) -> Iterator[Raw]:
    """The row, or a row for each place of the lists `source.each`; only those `where` says."""
    if source.each:
        lists = [row.get(name) for name in source.each]
        if any(not isinstance(found, list) for found in lists) or len({len(found or ()) for found in lists}) != 1:
            raise UserError(f"{place}: {', '.join(source.each)} are no lists of one length; mend or remove the row")
        rows = [row | dict(zip(source.each, values, strict=True)) for values in zip(*lists, strict=True)]  # pyright: ignore
    else:
        rows = [row]
    yield from (one for one in rows if all(fits(one.get(key), value) for key, value in source.where.items()))


def fits(found: Any, wanted: Any) -> bool:
    """Whether a raw value is the one that `where` asks for; `11..510` asks for a whole number from 11 to 510."""
    between = re.fullmatch(r"(\d+)\.\.(\d+)", str(wanted))
    if between and str(found).isdecimal():
        return int(between[1]) <= int(found) <= int(between[2])
    return str(found) == str(wanted)


def canonical(raw: Mapping[str, Any], source: Source, place: str) -> Row:
    """The row under the names of `source.fields`; with none, as it is.

    A field is a path (`question.choices.*.text`), a template where it holds a brace, or a list of either. `gold` is
    the number of the right choice: its place in `labels` where the row or the source has them, else a number.
    Raises `UserError` that names `place`.
    """
    try:
        row = {name: value_of(field, raw) for name, field in source.fields.items()} if source.fields else dict(raw)
    except Absent as error:
        raise UserError(f"{place}: has no '{error.args[0]}'; mend or remove the row") from None
    row["_place"] = place
    if "choices" in row and "gold" in row:
        if not isinstance(row["choices"], list) or len(row["choices"]) < 2:
            raise UserError(f"{place}: 'choices' is no list of two or more; mend or remove the row")
        empty = [number for number, choice in enumerate(row["choices"]) if choice is None or not str(choice).strip()]
        if empty:  # of no tokens, so likelier than any other
            raise UserError(f"{place}: choice {empty[0]} (from 0) is empty; mend or remove the row")
        nested = [number for number, choice in enumerate(row["choices"]) if isinstance(choice, (list, dict))]
        if nested:
            raise UserError(f"{place}: choice {nested[0]} (from 0) is no text; mend or remove the row")
        row["gold"] = gold_of(row["gold"], row.get("labels"), len(row["choices"]), place)
    return row


def value_of(field: Any, raw: Mapping[str, Any]) -> Any:
    """What `field` means in `raw`."""
    if isinstance(field, (list, tuple)):
        return [value_of(part, raw) for part in field]
    if not isinstance(field, str):
        return field
    if field.startswith("="):
        return field[1:]  # a text of its own
    return fill(field, raw) if "{" in field else look(field, raw)


def gold_of(value: Any, labels: Any, choices: int, place: str) -> int:
    """The place of `value` among `labels`, else `value` as the number of a choice, from 0."""
    words = [str(label) for label in labels or ()]
    if str(value) in words:
        return words.index(str(value))
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = -1
    if isinstance(value, float) and value != number:
        number = -1
    if not 0 <= number < choices:
        raise UserError(f"{place}: gold={value!r} is none of the {choices} choices; mend or remove the row")
    return number
