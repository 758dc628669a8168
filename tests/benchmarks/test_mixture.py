"""The mixture's benchmark runs and says what it promises to say"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import mixture, pack


def test_the_program_runs_and_compares_with_litdata(tmp_path: Path) -> None:
    mixture.main(["--quick", "--rounds", "1", "--out", str(tmp_path)])
    rows = json.loads(next(tmp_path.glob("mixture-*.json")).read_text())["results"]
    assert {row["what"] for row in rows} >= {"packtrain, weighted", "litdata, unweighted", "start to first batch"}
    assert all(row["tokens_per_second"] > 0 for row in rows[:2])


def test_packing_is_timed(tmp_path: Path) -> None:
    pack.main(["--quick", "--out", str(tmp_path)])
    rows = json.loads(next(tmp_path.glob("pack-*.json")).read_text())["results"]
    assert all(row["tokens_per_second"] > 0 for row in rows)
