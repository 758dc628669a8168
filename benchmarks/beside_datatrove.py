"""the same pages through packtrain and through datatrove's blocks for the same work → rows of benchmarks.prepare

    c4: rules                    C4QualityFilter (5 words a line, 3 sentences a page) on the corpora's pages
    common_crawl: reading WET    WarcReader on a made WET (benchmarks.made_wet)
    c4                           WarcReader → LanguageFilter → C4QualityFilter → SentenceDedup of three-sentence spans
    common_crawl                 WarcReader → SentenceDedup of single lines → 300 characters → LanguageFilter
    … each line's first kept     the same by one rule: SentenceDedup keeps the first copy of a line, CCNet none

datatrove has blocks for no other domain of the seven. Its language filter gets lid.176.ftz, the model that ours uses:
the one it would load from the network is the same, unquantised. Both sides read the file and keep documents in memory.
Seconds are of processor time: both are one process, and other load on the machine disturbs them less than the clock.
"""

from __future__ import annotations

import logging
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import interleave
from packtrain.data import web_pages
from packtrain.data.c4_rules import Rules
from packtrain.data.language import model_path
from packtrain.data.step import Skips, Tally

MIN_CHARACTERS = 300  # as common_crawl keeps them


def rows(
    corpora: Path, wet: Path, size: int, ours: Callable[[str, dict[str, Any]], set[str]], rounds: int
) -> Iterator[dict[str, Any]]:
    """wet: the made file, of `size` bytes unpacked. ours: a domain's name, parameters → the URLs of the kept pages."""
    from datatrove.data import Document as Page
    from datatrove.pipeline.filters import C4QualityFilter

    _quiet()
    files = [file for folder in ("c4", "commoncrawl") for file in web_pages.inputs(corpora / folder)]
    pages = [page for file in files for page in web_pages.read(file, file.name, "c4", web_pages.Pages(), Skips())]
    rules = C4QualityFilter(min_num_sentences=3, min_words_per_line=5)
    yield from _pair(
        "c4: rules",
        lambda: {page.id for page in Rules()(pages, Tally("rules"))},
        lambda: {p.id for p in (Page(page.text, page.id) for page in pages) if rules.filter(p) is True},
        sum(len(page.text.encode()) for page in pages), len(pages), rounds,
    )  # fmt: skip
    made = len(_read_by_us(wet))
    read_by_them = lambda: {page.metadata["url"] for page in _reader(wet)()}  # noqa: E731
    yield from _pair("common_crawl: reading WET", lambda: _read_by_us(wet), read_by_them, size, made, rounds)
    yield from _pair("c4", lambda: ours("c4", {}), lambda: c4(wet), size, made, rounds)
    for what, keep in (("common_crawl", "none"), ("common_crawl, each line's first kept", "first")):
        mine = partial(ours, "common_crawl", {"repeated_lines": {"keep": keep}})
        yield from _pair(what, mine, lambda: common_crawl(wet), size, made, rounds)


def _read_by_us(wet: Path) -> set[str]:
    return {page.url or page.id for page in web_pages.read(wet, wet.name, "c4", web_pages.Pages(), Skips())}


def c4(wet: Path) -> set[str]:
    """URLs of the pages that datatrove's blocks for C4 keep."""
    from datatrove.pipeline.filters import C4QualityFilter

    pages = _language()(_reader(wet)())
    pages = C4QualityFilter(min_num_sentences=3, min_words_per_line=5).run(pages)
    kept = _deduplicated(list(pages), _dedup(n_sentences=3, min_num_sentences=3))
    return {page.metadata["url"] for page in kept}


def common_crawl(wet: Path) -> set[str]:
    """URLs of the pages that datatrove's blocks leave where each line stays once."""
    lines = _dedup(n_sentences=1, split_sentences=False, min_num_sentences=0)
    kept = (page for page in _deduplicated(list(_reader(wet)()), lines) if len(page.text) >= MIN_CHARACTERS)
    return {page.metadata["url"] for page in _language()(kept)}


def _reader(wet: Path) -> Any:
    from datatrove.pipeline.readers import WarcReader

    return WarcReader(str(wet.parent), glob_pattern=wet.name, compression="infer")


def _language() -> Callable[[Any], Any]:
    import fasttext
    from datatrove.pipeline.filters import LanguageFilter

    model = fasttext.load_model(str(model_path()))

    class AsTheirs:
        def predict(self, text: str, k: int) -> tuple[Any, Any]:
            labels, scores = model.predict(text, k=k)
            return labels, np.asarray(scores)

    LanguageFilter._requires_dependencies = []  # fastText's own package and what guards its download
    found = LanguageFilter(["en"], language_threshold=0.5)
    found.model._model = AsTheirs()  # type: ignore[assignment]
    return found.run


def _dedup(**wanted: Any) -> Any:
    """With 64 bits of SHA-1, as ours: its default, xxhash of a str, is refused by the xxhash of today."""
    from datatrove.pipeline.dedup.sentence_dedup import SentDedupConfig
    from datatrove.utils.hashing import HashConfig

    return SentDedupConfig(**wanted, min_doc_words=0, hash_config=HashConfig(precision=64, hash_fc="sha1"))


def _deduplicated(pages: list[Any], config: Any) -> list[Any]:
    from datatrove.pipeline.dedup.sentence_dedup import (
        SentenceDedupFilter,
        SentenceDedupSignature,
        SentenceFindDedups,
    )

    with tempfile.TemporaryDirectory() as folder, redirect_stderr(StringIO()):  # its progress bars
        signatures, found = f"{folder}/signatures", f"{folder}/found"
        SentenceDedupSignature(signatures, config=config).run(iter(pages))
        SentenceFindDedups(signatures, found, config=config).run()
        return list(SentenceDedupFilter(found, config=config).run(iter(pages)))


def _quiet() -> None:
    from loguru import logger

    logger.disable("datatrove")
    logging.getLogger("datatrove").setLevel(logging.ERROR)
    sys.stdout.flush()


def _pair(
    what: str, ours: Callable[[], set[str]], theirs: Callable[[], set[str]], size: int, documents: int, rounds: int
) -> Iterator[dict[str, Any]]:
    kept: dict[str, set[str]] = {}

    def keeping(name: str, run: Callable[[], set[str]]) -> Callable[[], None]:
        def once() -> None:
            kept[name] = run()

        return once

    timings = interleave({n: keeping(n, run) for n, run in (("packtrain", ours), ("datatrove", theirs))}, rounds)
    mine, other = kept["packtrain"], kept["datatrove"]
    seconds = {name: statistics.median(timing.cpu) for name, timing in timings.items()}  # both use one core
    for name, timing in timings.items():
        spread = (max(timing.cpu) - min(timing.cpu)) / 2 / seconds[name]
        yield {
            "domain": what, "by": name, "mb": size / 1e6, "raw_documents": documents, "kept": len(kept[name]),
            "mb_per_second": size / 1e6 / seconds[name], "documents_per_second": documents / seconds[name],
            "spread": spread, "times_datatrove": seconds["datatrove"] / seconds[name],
            "agreement": len(mine & other) / max(1, len(mine | other)), "kept_alone": len(kept[name] - (mine & other)),
        }  # fmt: skip
