"""raw files ─domain→ documents: MB/s and documents/s of each domain on one core, beside datatrove where it has the same

    python -m benchmarks.prepare [--corpora DIR] [--domains books wikipedia]

Each domain reads its raw files and takes every one of its steps, in this process, again and again until `--seconds` are
over; writing is left out. Beside datatrove the very same pages go through C4's rules (its `C4QualityFilter`, with the
paper's 5 words a line and 3 sentences a page) and the same WET file through its `WarcReader`; kept sets are compared.
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
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import ROOT, interleave, parse, parser, table, write_results
from packtrain import settings
from packtrain.data.documents import Document
from packtrain.data.domain import Domain
from packtrain.data.domains.registry import PAPER, find
from packtrain.data.origin import size_of
from packtrain.data.step import AnyStep, Skips, Tally, is_global
from packtrain.errors import UserError

FOLDERS = {"common_crawl": "commoncrawl", "stack_exchange": "stackexchange"}
PACKAGES = 60  # of those installed, in the order of their names
WANTED = {"stack_exchange": {"sites": "all"}}


def default_corpora() -> Path:
    return Path(os.environ.get("PACKTRAIN_TEST_DATA", ROOT.parent / "shared" / "data")) / "corpora"


def one_pass(domain: Domain, parameters: Any, source: Path, limit_files: int | None = None) -> tuple[int, int, int]:
    """(bytes read, raw documents, kept documents) of one pass over `source`: as `packtrain prepare`, without files."""
    files = [Path(file) for file in domain.inputs(source, parameters)][:limit_files]
    size = sum(size_of(file) if file.is_dir() else _size(file) for file in files)
    counted = [0]

    def raw(file: Path) -> Iterator[Document]:
        for document in domain.read(file, file.relative_to(source).as_posix(), parameters, Skips()):
            counted[0] += 1
            yield document

    units: list[Iterable[Document]] = [raw(file) for file in files]
    with tempfile.TemporaryDirectory() as scratch:
        for step in domain.steps(parameters):
            units = _stage(step, units, Path(scratch))
        kept = sum(1 for unit in units for _ in unit)
    return size, counted[0], kept


def _stage(step: AnyStep, units: list[Iterable[Document]], scratch: Path) -> list[Iterable[Document]]:
    tally = Tally("benchmark")
    if not is_global(step):
        simple: Any = step
        return [simple(unit, tally) for unit in units]
    held, parts = [list(unit) for unit in units], []
    for number, unit in enumerate(held):
        parts.append(scratch / f"{number}.npy")
        np.save(parts[-1], step.collect(unit))
    decision = scratch / f"{step.name.replace(' ', '-')}.npy"
    step.merge(parts, decision)
    return [step.apply(unit, np.load(decision, mmap_mode="r"), tally) for unit in held]


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


def beside_datatrove(corpora: Path, rounds: int) -> Iterator[dict[str, Any]]:
    """C4's rules on the same pages, and the reading of the same WET file: seconds interleaved, kept sets compared."""
    from datatrove.data import Document as Page
    from datatrove.pipeline.filters import C4QualityFilter
    from datatrove.pipeline.readers import WarcReader

    from packtrain.data import web_pages
    from packtrain.data.c4_rules import Rules

    files = [file for folder in ("c4", "commoncrawl") for file in web_pages.inputs(corpora / folder)]
    pages = [page for file in files for page in web_pages.read(file, file.name, "c4", web_pages.Pages(), Skips())]
    size = sum(len(page.text.encode()) for page in pages)
    theirs = C4QualityFilter(min_num_sentences=3, min_words_per_line=5)

    def datatrove_rules() -> set[str]:
        return {p.id for p in (Page(page.text, page.id) for page in pages) if theirs.filter(p) is True}

    def our_rules() -> set[str]:
        return {page.id for page in Rules()(pages, Tally("rules"))}

    yield from _pair("c4: rules", our_rules, datatrove_rules, size, len(pages), rounds)

    wets = [file for file in files if ".wet" in file.suffixes]
    for wet in wets[:1]:

        def ours(wet: Path = wet) -> set[str]:
            return {page.url or page.id for page in web_pages.read(wet, wet.name, "c4", web_pages.Pages(), Skips())}

        def datatrove(wet: Path = wet) -> set[str]:
            reader = WarcReader(str(wet.parent), glob_pattern=wet.name, compression="infer")
            return {page.metadata.get("url") or page.id for page in reader()}

        found = len(ours())
        yield from _pair(f"common_crawl: reading {wet.name}", ours, datatrove, _size(wet), found, rounds)


def _pair(
    what: str, ours: Callable[[], set[str]], theirs: Callable[[], set[str]], size: int, documents: int, rounds: int
) -> Iterator[dict[str, Any]]:
    mine, other = ours(), theirs()
    timings = interleave({"packtrain": ours, "datatrove": theirs}, rounds)
    for name, timing in timings.items():
        yield {
            "domain": what, "by": name, "mb": size / 1e6, "raw_documents": documents,
            "kept": len(mine if name == "packtrain" else other), "mb_per_second": size / 1e6 / timing.median,
            "documents_per_second": documents / timing.median, "spread": timing.spread,
            "times_datatrove": timings["datatrove"].median / timing.median,
            "agreement": len(mine & other) / max(1, len(mine | other)),
        }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    made = parser(__doc__)
    made.add_argument("--corpora", type=Path, default=default_corpora(), help="folder of raw inputs, one per domain")
    made.add_argument("--domains", nargs="+", default=list(PAPER), help="of the paper's seven")
    made.add_argument("--seconds", type=float, default=5, help="of CPU for each domain")
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
    if not arguments.quick:
        try:
            rows += beside_datatrove(arguments.corpora, arguments.rounds or 5)
        except ImportError as error:
            print(f"without datatrove: {error}; pip install 'packtrain[bench]'", file=sys.stderr)
    print(table(rows))
    write_results("prepare", rows, arguments)


if __name__ == "__main__":
    main()
