"""name of a domain → data/domains/<name>.py → its DOMAIN

A new domain: its file, its parameters in conf/domain/<name>.yaml, its name here.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from packtrain import settings
from packtrain.data.domain import Domain, Generator
from packtrain.errors import UserError, did_you_mean

PAPER = ("common_crawl", "c4", "github", "wikipedia", "books", "arxiv", "stack_exchange")  # the seven, as in table 1
OWN = ("python_code", "python_prose", "unicode", "text")
NAMES = (*PAPER, *OWN)


def find(name: str) -> Domain | Generator:
    """The domain of that name, its module imported now; or a `UserError` that lists the known ones."""
    if name not in NAMES:
        raise UserError(f"domain={name}: unknown domain{did_you_mean(name, NAMES)}")
    return import_module(f"packtrain.data.domains.{name}").DOMAIN


def choose(values: Mapping[str, Any]) -> tuple[Domain | Generator, Any]:
    """`{name: wikipedia, min_characters: 200, …}` → the domain and its parameters, typed.

    Raises `UserError` for an unknown domain, an unknown key or a value of the wrong type.
    """
    domain = find(str(values.get("name")))
    rest = {key: value for key, value in values.items() if key != "name"}
    return domain, settings.build(domain.parameters, rest, "domain")
