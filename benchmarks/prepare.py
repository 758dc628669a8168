"""raw files ─domain→ documents: MB/s and documents/s of each domain on one core, beside datatrove where it has the same

    python -m benchmarks.prepare [--corpora DIR] [--domains books wikipedia]

Each domain reads its raw files and takes every one of its steps, in this process, again and again until `--seconds` of
processor time are over; writing is left out. Beside datatrove a WET of `--pages` pages, made of real texts, goes
through both programs' c4 and common_crawl (benchmarks.beside_datatrove); kept sets are compared.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import os
import sys
import sysconfig
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import made_wet
from benchmarks.common import ROOT, parse, parser, table, write_results
from packtrain import settings
from packtrain.data.documents import Document
from packtrain.data.domain import Domain
from packtrain.data.domains.registry import PAPER, find
from packtrain.data.origin import size_of
from packtrain.data.step import AnyStep, Skips, Tally, decide, is_global
from packtrain.errors import UserError

FOLDERS = {"common_crawl": "commoncrawl", "stack_exchange": "stackexchange"}
PACKAGES = 60  # of those installed, in the order of their names
WANTED = {"stack_exchange": {"sites": "all"}}


def default_corpora() -> Path:
    return Path(os.environ.get("PACKTRAIN_TEST_DATA", ROOT.parent / "shared" / "data")) / "corpora"


@dataclass
class Pass:
    """One pass of a domain over its input, as `packtrain prepare` takes it but without files; `raw` documents read."""

    raw: int = 0

    def documents(
        self, domain: Domain, parameters: Any, source: Path, limit_files: int | None = None
    ) -> Iterator[Document]:
        """Those that are kept."""
        files = _files(domain, parameters, source, limit_files)
        units: list[Iterable[Document]] = [self._read(domain, parameters, source, file) for file in files]
        with tempfile.TemporaryDirectory() as scratch:
            for step in domain.steps(parameters):
                units = _stage(step, units, Path(scratch))
            for unit in units:
                yield from unit

    def _read(self, domain: Domain, parameters: Any, source: Path, file: Path) -> Iterator[Document]:
        name = file.name if file == source else file.relative_to(source).as_posix()
        for document in domain.read(file, name, parameters, Skips()):
            self.raw += 1
            yield document


def _files(domain: Domain, parameters: Any, source: Path, limit: int | None) -> list[Path]:
    return [Path(file) for file in domain.inputs(source, parameters)][:limit]


def one_pass(domain: Domain, parameters: Any, source: Path, limit_files: int | None = None) -> tuple[int, int, int]:
    """(bytes read, raw documents, kept documents) of one pass over `source`."""
    files = _files(domain, parameters, source, limit_files)
    size = sum(size_of(file) if file.is_dir() else _size(file) for file in files)
    made = Pass()
    kept = sum(1 for _ in made.documents(domain, parameters, source, limit_files))
    return size, made.raw, kept


def _stage(step: AnyStep, units: list[Iterable[Document]], scratch: Path) -> list[Iterable[Document]]:
    tally = Tally("benchmark")
    if not is_global(step):
        simple: Any = step
        return [simple(unit, tally) for unit in units]
    held, parts = [list(unit) for unit in units], []
    for number, unit in enumerate(held):
        parts.append(scratch / f"{number}.npy")
        np.save(parts[-1], step.collect(unit))
    decision = decide(step, parts, scratch)
    return [step.apply(unit, decision, tally) for unit in held]


@cache
def _size(file: Path) -> int:
    """Bytes of a file, unpacked where it is .gz or .bz2."""
    opener: Any = {".gz": gzip.open, ".bz2": bz2.open}.get(file.suffix, open)
    size = 0
    with opener(file, "rb") as stream, contextlib.suppress(OSError, EOFError, zlib.error):  # damaged: up to there
        while piece := stream.read(1 << 20):
            size += len(piece)
    return size


def of_domain(name: str, source: Path, seconds: float, limit_files: int | None) -> dict[str, Any]:
    """One row: rates over whole passes, the first of them (imports, models) not counted."""
    domain = find(name)
    assert isinstance(domain, Domain)
    parameters = settings.build(domain.parameters, WANTED.get(name, {}))
    one_pass(domain, parameters, source, limit_files)
    begin, size, raw, kept, passes = time.process_time(), 0, 0, 0, 0
    while time.process_time() - begin < seconds:
        found = one_pass(domain, parameters, source, limit_files)
        size, raw, kept, passes = size + found[0], raw + found[1], kept + found[2], passes + 1
    took = time.process_time() - begin
    return {
        "domain": name, "mb": size / passes / 1e6, "raw_documents": raw // passes, "kept": kept // passes,
        "mb_per_second": size / took / 1e6, "documents_per_second": raw / took, "passes": passes,
    }  # fmt: skip


def beside_datatrove(corpora: Path, pages: int, rounds: int) -> Iterator[dict[str, Any]]:
    """Rows of both, on the same made WET."""
    from benchmarks import beside_datatrove as other

    with tempfile.TemporaryDirectory() as folder:
        wet = made_wet.make(Path(folder), corpora, pages)

        def ours(name: str, values: dict[str, Any]) -> set[str]:
            domain = find(name)
            assert isinstance(domain, Domain)
            parameters = settings.build(domain.parameters, values)
            return {document.url or document.id for document in Pass().documents(domain, parameters, wet)}

        yield from other.rows(corpora, wet, _size(wet), ours, rounds)


def main(argv: Sequence[str] | None = None) -> None:
    made = parser(__doc__)
    made.add_argument("--corpora", type=Path, default=default_corpora(), help="folder of raw inputs, one per domain")
    made.add_argument("--domains", nargs="+", default=list(PAPER), help="of the paper's seven")
    made.add_argument("--seconds", type=float, default=5, help="of CPU for each domain")
    made.add_argument("--pages", type=int, default=4800, help="of the WET that both programs read")
    arguments = parse(made, argv)
    seconds = 0.01 if arguments.quick else arguments.seconds
    rows: list[dict[str, Any]] = []
    for name in arguments.domains:
        source = arguments.corpora / FOLDERS.get(name, name)
        source = Path(sysconfig.get_path("purelib")) if name == "github" else source
        limit = 3 if arguments.quick else PACKAGES if name == "github" else None
        try:
            rows.append({"by": "packtrain", **of_domain(name, source, seconds, limit)})
        except (UserError, ImportError) as error:
            print(f"{name}: {error}", file=sys.stderr)
    pages, rounds = (60, 1) if arguments.quick else (arguments.pages, arguments.rounds or 3)
    try:
        rows += beside_datatrove(arguments.corpora, pages, rounds)
    except ImportError as error:
        print(f"without datatrove: {error}; pip install 'packtrain[bench]'", file=sys.stderr)
    print(table(rows))
    write_results("prepare", rows, arguments)


if __name__ == "__main__":
    main()
