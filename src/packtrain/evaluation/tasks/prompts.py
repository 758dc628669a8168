"""rows + examples → Items: header + examples, separated, + the row's prompt"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

from packtrain.errors import UserError
from packtrain.evaluation.tasks.data import Row
from packtrain.evaluation.tasks.requests import Item
from packtrain.evaluation.tasks.spec import TaskSpec
from packtrain.evaluation.tasks.template import Absent, fill

GOLDEN = (5**0.5 - 1) / 2


def items(
    name: str, spec: TaskSpec, shots: int, rows: Sequence[Row], examples: Sequence[Row] | None, limit: int | None = None
) -> list[Item]:
    """An item for each row, or for `limit` of them (`spread`). examples: None takes other rows of the set itself.

    Raises `UserError` where there are fewer examples than `shots`, and for a template that names what a row has not.
    """
    pools: dict[str, list[tuple[int, Row]]] = {}
    for number, row in enumerate(rows if examples is None else examples):
        pools.setdefault(kind(spec, row), []).append((number, row))
    found = []
    for index in spread(len(rows), limit):
        row = rows[index]
        pool = pools.get(kind(spec, row), []) if shots else []
        own = index if examples is None else None
        drawn = draw(pool, shots, own, None if spec.draw == "first" else random.Random(f"{name} {index}"))
        if len(drawn) < shots:
            among = f" with the same {spec.same} ({row[spec.same]})" if spec.same else ""
            raise UserError(
                f"task {name}: shots={shots}, but there are {len(drawn)} examples{among}; "
                f"give fewer: tasks.{name}.shots=[{len(drawn)}], or a larger file of examples"
            )
        try:
            preamble = fill(spec.header, row)
            preamble += "".join(worded(example, spec) + spec.separator for example in drawn)
            found.append(Item(index, row, preamble + fill(spec.prompt, row), preamble))
        except Absent as error:
            raise UserError(
                f"task {name}: {row.get('_place', f'row {index}')} has no '{error.args[0]}', which a template names"
            ) from None
    return found


def spread(n: int, limit: int | None) -> list[int]:
    """`limit` of n places, one in each of as many equal stretches, at a place of it that moves by the golden ratio: a
    fixed one would meet the same kind of row each time in a set whose kinds take turns (WinoGender's pronouns)."""
    count = n if limit is None else min(limit, n)
    ends = [i * n // count for i in range(count + 1)]
    return [start + int(i * GOLDEN % 1 * (end - start)) for i, (start, end) in enumerate(pairwise(ends))]


def kind(spec: TaskSpec, row: Row) -> str:
    """What an item and its examples have in common. Raises `UserError` for a row without the field."""
    if not spec.same:
        return ""
    if spec.same not in row:  # else all were of one kind: examples of any other
        raise UserError(
            f"{row.get('_place', 'a row')}: has no '{spec.same}', which the task's `same` names; mend either"
        )
    return str(row[spec.same])


def worded(example: Row, spec: TaskSpec) -> str:
    """An example: its prompt and what follows it. `{choice}` is the text of its right choice."""
    if "choices" in example and "gold" in example:
        example = example | {"choice": example["choices"][example["gold"]]}
        if len(example.get("labels") or ()) == len(example["choices"]):
            example["label"] = example["labels"][example["gold"]]
    return fill(spec.prompt, example) + fill(spec.answer, example)


def draw(pool: Sequence[tuple[int, Row]], shots: int, own: int | None, chance: random.Random | None) -> list[Row]:
    """`shots` rows of `pool`, never the one numbered `own`: the first, or by chance without repetition."""
    if chance is None:
        return [row for number, row in pool[: shots + 1] if number != own][:shots]
    if len(pool) <= shots + 1:
        rest = [row for number, row in pool if number != own]
        return chance.sample(rest, min(shots, len(rest)))
    places = [place for place in chance.sample(range(len(pool)), shots + 1) if pool[place][0] != own]
    return [pool[place][1] for place in places[:shots]]
