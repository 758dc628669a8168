"""Programs that start processes of their own: what meshes send and hold, and what saves cost"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import scaling
from tests.benchmarks.test_programs import run


def same_as_dry_run(row: dict[str, Any]) -> None:
    real, dry = row["real"], row["dry_run"]
    assert real.keys() == dry.keys() and {"parameters", "gradients", "optimizer", "activations", "sent"} <= real.keys()
    for name, size in real.items():
        assert dry[name] == pytest.approx(size, rel=0.02), (row["mesh"], name)
    assert row["real_over_theory"] == pytest.approx(1, rel=0.02), row["mesh"]


def test_two_real_processes_send_and_hold_what_the_dry_run_and_the_theory_say(tmp_path: Path) -> None:
    rows = run("scaling", tmp_path)
    assert [row["mesh"] for row in rows] == ["1 × 2 × 1", "1 × 1 × 2"]
    for row in rows:
        same_as_dry_run(row)


@pytest.mark.slow
def test_four_real_processes_send_and_hold_what_the_dry_run_and_the_theory_say() -> None:
    rows = [row for precision in ("fp32", "bf16") for row in scaling.measure(scaling.TINY, (4,), precision)]
    assert {row["mesh"] for row in rows} == {"1 × 4 × 1", "1 × 1 × 4", "1 × 2 × 2", "2 × 2 × 1"}
    for row in rows:
        same_as_dry_run(row)


def test_checkpoint_times_saves_that_are_waited_for_and_that_are_not(tmp_path: Path) -> None:
    rows = run("checkpoint", tmp_path)
    assert [row["save"] for row in rows] == ["whole", "sync", "async"]
    assert all(0 < row["stall_seconds"] <= row["total_seconds"] for row in rows)
    assert rows[2]["stall_seconds"] < rows[2]["total_seconds"] and rows[2]["steps_meanwhile"] >= 1
