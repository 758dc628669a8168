"""a global step's merge, range by range: as units of work, with the same outcome, in the memory of one range"""

from __future__ import annotations

import tracemalloc
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from packtrain.data import hash_ranges
from packtrain.data.complete import Executor
from packtrain.data.documents import Document
from packtrain.data.domains import books
from packtrain.data.exact_duplicates import ExactDuplicates
from packtrain.data.executors import registry
from packtrain.data.executors.local import LocalExecutor
from packtrain.data.hash_ranges import ENTRY, Shard
from packtrain.data.repeated_spans import RepeatedSpans
from packtrain.data.run_steps import units_of
from packtrain.data.stage_work import MergeWork
from packtrain.data.step import Tally, decide, is_global
from packtrain.errors import Failure
from tests.data.test_restart import made, pages


@pytest.fixture(autouse=True)
def a_unit_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("packtrain.data.prepare.units_of", lambda files, sizes: units_of(files, sizes, 1))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pages(tmp_path_factory.mktemp("merges") / "in", 3, 30)


def in_ranges(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(hash_ranges, "SHARD_BYTES", size)


def test_the_documents_are_the_same_however_many_ranges_a_merge_is_cut_into(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = made(source, tmp_path / "whole")
    seen: set[tuple[int, int]] = set()
    run = MergeWork.run

    def watched(work: MergeWork, unit: int, tick: Any) -> None:
        seen.add((unit, work.shards))
        run(work, unit, tick)

    monkeypatch.setattr(MergeWork, "run", watched)
    in_ranges(monkeypatch, 4000)
    assert made(source, tmp_path / "ranges") == whole
    assert len(seen) > 2 and seen == {(unit, len(seen)) for unit in range(len(seen))}


@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_the_ranges_are_made_by_any_executor(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    whole = made(source, tmp_path / "whole")
    in_ranges(monkeypatch, 8000)
    if engine == "ray" and find_spec("ray") is None:
        pytest.skip("pip install 'packtrain[ray]'")
    values: dict[str, Any] = {"workers": 2, "memory_gb": 0.2} if engine == "ray" else {"processes": 2}
    asked: list[str] = []

    class Watched:
        def __init__(self, executor: Executor) -> None:
            self.executor = executor

        def run(self, work: Any, todo: Any, weights: Any, what: str, rules: Any) -> Any:
            asked.append(f"{what}: {len(todo)}")
            return self.executor.run(work, todo, weights, what, rules)

    executor = Watched(registry.choose({"engine": engine, **values}))
    assert made(source, tmp_path / "ranges", executor) == whole
    (merge,) = (line for line in asked if line.startswith("merge repeated spans: "))
    assert int(merge.rpartition(" ")[2]) > 1


@pytest.mark.parametrize("another_count", [False, True])
def test_a_range_that_is_finished_is_not_made_again_and_one_of_other_parts_does_not_count(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, another_count: bool
) -> None:
    whole = made(source, tmp_path / "whole")
    in_ranges(monkeypatch, 4000)
    run, ran = MergeWork.run, []

    def stopped(work: MergeWork, unit: int, tick: Any) -> None:
        if unit == 3 and unit not in ran:
            ran.append(unit)
            raise Failure("stopped")
        ran.append(unit)
        run(work, unit, tick)

    monkeypatch.setattr(MergeWork, "run", stopped)
    with pytest.raises(Failure, match="stopped"):
        made(source, tmp_path / "out")
    work = tmp_path / ".out.work"
    assert not (work / "00-decision.json").exists() and (work / "00" / "000000" / "part.npy").exists()
    if another_count:
        in_ranges(monkeypatch, 3000)
    assert made(source, tmp_path / "out") == whole
    begun = 0 if another_count else 3
    assert ran[:4] == [0, 1, 2, 3] and ran[4:] == list(range(begun, begun + len(ran) - 4)) and len(ran) > 4


def test_a_decision_of_which_a_table_is_damaged_is_made_anew(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = made(source, tmp_path / "whole")
    in_ranges(monkeypatch, 4000)

    class Stopped:
        def run(self, work: Any, todo: Any, weights: Any, what: str, rules: Any) -> Any:
            if getattr(work, "number", 0) == 1:
                raise KeyboardInterrupt
            return LocalExecutor(processes=0).run(work, todo, weights, what, rules)

    with pytest.raises(KeyboardInterrupt):
        made(source, tmp_path / "out", Stopped())
    (tmp_path / ".out.work" / "00-merge" / "000001" / "table.npy").write_bytes(b"")
    assert made(source, tmp_path / "out") == whole


@pytest.mark.parametrize("shards", [1, 7])
def test_books_and_exact_copies_are_decided_alike_in_any_number_of_ranges(shards: int, tmp_path: Path) -> None:
    chance = np.random.default_rng(3)
    texts = [" ".join(chance.choice(["llama", "wool", "pack", "hill", "track", "salt"], 900)) for _ in range(12)]
    texts += [texts[2], texts[3] + " end of the book", texts[2], texts[5][: len(texts[5]) * 95 // 100]]
    documents = [Document(str(i), text, "books", "b") for i, text in enumerate(texts)]
    parts = [documents[:5], [], documents[5:]]
    steps = [ExactDuplicates(), *books.steps(books.Parameters(sketch_scale=4))[-2:]]
    for step in steps:
        tally = Tally(step.name)
        assert is_global(step)
        paths = [tmp_path / f"{step.name}-{i}.npy" for i in range(len(parts))]
        for path, part in zip(paths, parts, strict=True):
            np.save(path, step.collect(iter(part)))
        decision = decide(step, paths, tmp_path, shards)
        parts = [list(step.apply(part, decision, tally)) for part in parts]
    kept = [document.id for part in parts for document in part]
    assert kept == [str(i) for i in range(12) if i != 3] + ["13"]


def test_ten_times_the_input_is_merged_in_the_memory_of_one_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_ranges(monkeypatch, 1 << 21)
    peaks, ranges = [], []
    for times in (2, 20):
        chance = np.random.default_rng(1)
        parts = []
        for number in range(times):
            entries = np.zeros(50_000, ENTRY)
            entries["hash"] = np.sort(chance.integers(0, 2**64, len(entries), np.uint64))
            entries["hash"][1::2] = entries["hash"][::2]
            parts.append(tmp_path / f"{number}.npy")
            np.save(parts[-1], entries)
        ranges.append(hash_ranges.shards(sum(part.stat().st_size for part in parts)))
        tracemalloc.start()
        for number in range(ranges[-1]):
            RepeatedSpans().merge(parts, tmp_path / "table.npy", Shard(number, ranges[-1]))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    print(f"{peaks[0] / 2**20:.1f} and {peaks[1] / 2**20:.1f} MiB in {ranges[0]} and {ranges[1]} ranges")
    assert ranges == [1, 8] and peaks[1] < 1.4 * peaks[0]
