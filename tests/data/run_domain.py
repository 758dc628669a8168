"""`made(domain, path)`: a domain's documents, tallies and skips, step after step in this process"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from packtrain.data.documents import Document
from packtrain.data.domain import Domain
from packtrain.data.step import Skips, Step, Tally, decide, is_global


@dataclass
class Made:
    raw: list[Document]
    documents: list[Document]
    tallies: dict[str, Tally]
    skips: Skips
    dropped: dict[str, Document]

    def text(self, identity: str) -> str:
        return next(d.text for d in self.documents if d.id == identity)

    @property
    def ids(self) -> list[str]:
        return [document.id for document in self.documents]


def made(domain: Domain, path: Path, scratch: Path, parameters: Any = None) -> Made:
    parameters = parameters or domain.parameters()
    skips, raw, files = Skips(), [], list(domain.inputs(path, parameters))
    parts: list[list[Document]] = []
    for file in files:
        name = Path(file).name if Path(file) == path else Path(file).relative_to(path).as_posix()
        skips.file = name
        parts.append(list(domain.read(Path(file), name, parameters, skips)))
        raw += parts[-1]
    assert len({document.id for document in raw}) == len(raw)
    tallies: dict[str, Tally] = {}
    dropped: dict[str, Document] = {}
    for step in domain.steps(parameters):
        tally = Tally(step.name, sink=lambda document, step, reason: dropped.update({document.id: document}))
        before = sum(map(len, parts))
        if is_global(step):
            saved = []
            for number, part in enumerate(parts):
                saved.append(scratch / f"{len(tallies)}-{number}.npy")
                np.save(saved[-1], step.collect(iter(part)))
            decision = decide(step, saved, scratch)
            parts = [list(step.apply(iter(part), decision, tally)) for part in parts]
        else:
            parts = [list(cast(Step, step)(_once(part), tally)) for part in parts]
        assert tally.seen == before
        assert tally.kept == sum(map(len, parts))
        tallies[step.name] = tally
    return Made(raw, [d for part in parts for d in part], tallies, skips, dropped)


def _once(documents: list[Document]) -> Iterator[Document]:
    yield from documents


def corpora(folder: str) -> Path:
    """A folder of the real data, where there is any; else the test is skipped."""
    shared = Path(os.environ.get("PACKTRAIN_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
    path = shared / "corpora" / folder
    if not path.is_dir():
        pytest.skip(f"no real data at {path}; set PACKTRAIN_TEST_DATA")
    return path
