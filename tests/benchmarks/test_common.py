"""What every benchmark shares: interleaving, the count of live tensors, result files"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import common


def test_cases_take_turns_and_the_order_turns_too() -> None:
    seen: list[str] = []
    cases = {name: (lambda name=name: seen.append(name)) for name in "abc"}
    found = common.interleave(cases, rounds=3, steps=1, warmup=1)
    assert "".join(seen) == "abc" + "abc" + "bca" + "cab"
    assert {name: len(timing.rounds) for name, timing in found.items()} == {"a": 3, "b": 3, "c": 3}


def test_a_timing_is_its_median_with_its_spread() -> None:
    row = common.Timing((1.0, 1.1, 5.0)).row(tokens=11)
    assert row["seconds_per_step"] == 1.1 and row["spread"] == pytest.approx(4 / 2.2)
    assert row["tokens_per_second"] == pytest.approx(10)


@pytest.mark.skipif(torch.cuda.is_available(), reason="counts on the CPU")
def test_peak_bytes_counts_what_lives_at_once() -> None:
    there_before = torch.ones(1000)

    def step() -> None:
        a = torch.zeros(1 << 20)  # 4 MiB
        b = a + 1  # and 4
        del a
        c = b * 2  # and 4, beside b alone
        c.add_(there_before.sum())

    def frees() -> None:
        nonlocal there_before
        there_before = torch.ones(1 << 18)  # 1 MiB: what it replaces is not taken off

    assert 8 * 2**20 <= common.peak_bytes(step) < 8 * 2**20 + 10_000
    assert 2**20 <= common.peak_bytes(frees) < 2**20 + 10_000
    assert 2**20 <= common.held_bytes(lambda: torch.zeros(1 << 19).sum() + torch.ones(1 << 18)) < 2**20 + 10_000


def test_results_say_machine_versions_and_commit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = common.parse(common.parser("a benchmark"), ["--quick", "--out", str(tmp_path)])
    path = common.write_results("name", [{"implementation": "ours", "seconds_per_step": 0.5}], arguments, shape="tiny")
    found = json.loads(path.read_text())
    assert path.name == f"name-{common.machine_name()}.json" and [p.name for p in tmp_path.iterdir()] == [path.name]
    assert {"machine", "versions", "commit", "results", "shape", "quick"} <= set(found)
    assert found["versions"]["torch"] == torch.__version__.split("+")[0] or found["versions"]["torch"]
    assert found["results"] == [{"implementation": "ours", "seconds_per_step": 0.5}]
    assert str(path) in capsys.readouterr().out


def test_a_quick_run_stays_away_from_the_results_that_count() -> None:
    made = common.parser("")
    assert Path(common.parse(made, ["--quick"]).out) != common.ROOT / "benchmarks" / "results"
    assert Path(common.parse(made, []).out) == common.ROOT / "benchmarks" / "results"


def test_the_table_aligns_and_names_units() -> None:
    text = common.table([{"a": "x", "peak_bytes": 1_500_000, "n": 1.23456}, {"a": "long", "peak_bytes": None}])
    assert text.splitlines()[0].split() == ["a", "peak_bytes", "n"]
    assert "1.5 MB" in text and "1.235" in text and "–" in text


def test_the_share_of_matrix_products_is_theirs() -> None:
    a, v = torch.randn(400, 400), torch.randn(1000)
    assert common.matrix_share(lambda: [a.mm(a) for _ in range(10)]) > 0.8
    assert common.matrix_share(lambda: [v.exp() for _ in range(100)]) == 0.0
