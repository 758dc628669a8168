"""composed YAML → plain dict → (strict) → frozen dataclass

The one gate between configuration files and code: an unknown key or a wrong type stops here and names itself.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from packtrain.errors import UserError, did_you_mean

T = TypeVar("T")
NAMES: dict[Any, str] = {int: "integer", float: "number", bool: "true or false", str: "text", type(None): "null"}


def build(cls: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """The dataclass `cls` from a plain mapping, nested dataclasses included.

    Raises `UserError` for an unknown key (with the nearest known one), a missing key, or a value of the wrong type
    (with the expected one). `where` is the dotted path that the messages start from.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"{where or cls.__name__}={values!r}: expected a group of settings")
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # pyright: ignore[reportArgumentType]
    hints = typing.get_type_hints(cls)
    for key in values:
        if key not in fields:
            raise UserError(f"unknown key '{_join(where, str(key))}'{did_you_mean(str(key), fields)}")
    missing = [
        name
        for name, field in fields.items()
        if name not in values and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise UserError(f"missing: {', '.join(_join(where, name) for name in missing)}; give {missing[0]}=…")
    return cls(**{key: convert(hints[key], value, _join(where, key)) for key, value in values.items()})


def convert(hint: Any, value: Any, where: str) -> Any:
    """`value` as the type `hint`, or a `UserError` that names `where`, the value and the expected type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _first_that_fits([a for a in arguments if a is not type(None)], hint, value, where)
    if origin is Literal:
        if value in arguments:
            return value
        raise UserError(f"{where}={value}{did_you_mean(str(value), map(str, arguments))}")
    if dataclasses.is_dataclass(hint):
        return build(hint, value, where)  # pyright: ignore[reportArgumentType]
    if origin in (list, tuple):
        if isinstance(value, str):
            raise UserError(f"{where}={value!r}: expected {expected(hint)}, written [{value}]")
        if not isinstance(value, (list, tuple)):
            raise _wrong(hint, value, where)
        item = arguments[0] if arguments else Any
        return origin(convert(item, element, f"{where}[{i}]") for i, element in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise _wrong(hint, value, where)
        return {str(key): convert(arguments[1], element, _join(where, str(key))) for key, element in value.items()}
    return _scalar(hint, value, where)


def expected(hint: Any) -> str:
    """The type in words: `integer`, `list of text`, `integer or null`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(expected(a) for a in arguments)
    if origin in (list, tuple):
        return f"list of {expected(arguments[0])}" if arguments else "list"
    if origin is dict:
        return "group of settings"
    return NAMES.get(hint, getattr(hint, "__name__", str(hint)))


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is bool and isinstance(value, bool):
        return value
    if hint is int and isinstance(value, (int, float)) and not isinstance(value, bool) and value == value // 1:
        return int(value)  # Hydra reads 1e6 as a float; a count written so is still a count.
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if hint is str and isinstance(value, str):
        return value
    if hint is str and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)  # name=7 is a name
    raise _wrong(hint, value, where)


def _first_that_fits(hints: list[Any], whole: Any, value: Any, where: str) -> Any:
    if len(hints) == 1 and (dataclasses.is_dataclass(hints[0]) or get_origin(hints[0]) is not None):
        return convert(hints[0], value, where)
    for hint in sorted(hints, key=lambda h: h is str):  # text takes numbers too, so it is asked last
        try:
            return convert(hint, value, where)
        except UserError:
            continue
    raise _wrong(whole, value, where)


def _wrong(hint: Any, value: Any, where: str) -> UserError:
    return UserError(f"{where}={value!r}: expected {expected(hint)}")


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
