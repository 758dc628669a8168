"""a row of a file of instructions → conversations of turns, whatever its fields are called

alpaca         {"instruction", "input" (may be absent), "output"}
self_instruct  {"instruction", "instances": [{"input", "output"}, …]}      one conversation for each instance
prompt         {"prompt", "completion"}
chat           {"messages": [{"role": "system" | "user" | "assistant", "content"}, …]}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from packtrain.errors import UserError
from packtrain.tokenizer.template import ROLES, ChatTemplate, Turn

Format = Literal["alpaca", "self_instruct", "prompt", "chat"]
FIELDS: dict[Format, tuple[str, ...]] = {
    "chat": ("messages",),
    "self_instruct": ("instruction", "instances"),
    "alpaca": ("instruction", "output"),
    "prompt": ("prompt", "completion"),
}
MEND = "; mend it, or data.bad_rows=drop leaves such rows out"


def detect(row: Mapping[str, Any], place: str) -> Format:
    """The format whose fields the row has. Raises `UserError` naming all of them where none fits."""
    for name, fields in FIELDS.items():
        if all(field in row for field in fields):
            return name
    known = "; ".join(f"{name}: {', '.join(fields)}" for name, fields in FIELDS.items())
    raise UserError(
        f"{place}: has the fields {', '.join(map(str, row)) or 'of nothing'}, which are of no known format ({known}); "
        "rename them"
    )


def conversations(row: Mapping[str, Any], place: str, format: Format, template: ChatTemplate) -> list[list[Turn]]:
    """The turns of each conversation in the row. Raises `UserError` that names `place`: a field that is missing or no
    text, an empty response, turns out of order."""
    for field in FIELDS[format]:
        if field not in row:
            raise UserError(f"{place}: has no '{field}' (format {format}: {', '.join(FIELDS[format])}){MEND}")
    if format == "chat":
        return [_chat(row["messages"], place)]
    if format == "prompt":
        return [[("user", _text(row, "prompt", place)), ("assistant", _response(row, "completion", place))]]
    instances = [row] if format == "alpaca" else row["instances"]
    if not isinstance(instances, list) or not instances or not all(isinstance(one, Mapping) for one in instances):
        raise UserError(f"{place}: 'instances' is no list of objects{MEND}")
    found: list[list[Turn]] = []
    for one in instances:
        if "output" not in one:
            raise UserError(f"{place}: an instance has no 'output'{MEND}")
        given = _text(one, "input", place) if one.get("input") is not None else ""
        asked = template.joined(_text(row, "instruction", place), given)
        found.append([("user", asked), ("assistant", _response(one, "output", place))])
    return found


def _chat(messages: Any, place: str) -> list[Turn]:
    if not isinstance(messages, list) or not messages:
        raise UserError(f"{place}: 'messages' is no list of turns{MEND}")
    turns: list[Turn] = []
    for number, message in enumerate(messages, 1):
        where = f"{place}, turn {number}"
        if not isinstance(message, Mapping) or not {"role", "content"} <= message.keys():
            raise UserError(f"{where}: has no 'role' and 'content'{MEND}")
        role = message["role"]
        if role not in ROLES:
            raise UserError(f"{where}: role {role!r} is none of {', '.join(ROLES)}{MEND}")
        before = turns[-1][0] if turns else ""
        expected = {"": ("system", "user"), "system": ("user",), "user": ("assistant",), "assistant": ("user",)}[before]
        if role not in expected:
            raise UserError(f"{where}: is the {role}'s, expected the {' or '.join(expected)}'s{MEND}")
        read = _response if role == "assistant" else _text
        turns.append((role, read(message, "content", where)))
    if turns[-1][0] != "assistant":
        raise UserError(f"{place}: the last turn is not the assistant's: there is no response to learn{MEND}")
    return turns


def _text(row: Mapping[str, Any], field: str, place: str) -> str:
    value = row[field]
    if not isinstance(value, str):
        raise UserError(f"{place}: '{field}' is {type(value).__name__}, expected text{MEND}")
    return value


def _response(row: Mapping[str, Any], field: str, place: str) -> str:
    value = _text(row, field, place)
    if not value.strip():
        raise UserError(f"{place}: the response ('{field}') is empty{MEND}")
    return value
