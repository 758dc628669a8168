"""docs/performance.md says what benchmarks/results/ holds"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import paper, tables


def test_every_table_of_the_page_is_the_one_that_its_results_draw() -> None:
    page = tables.PAGE.read_text()
    assert tables.BLOCK.search(page), "the page has tables"
    assert page == tables.redrawn(page), "python -m benchmarks.tables draws them again"


def test_time_and_money_of_the_papers_data_follow_from_the_results() -> None:
    assert paper.page() in (tables.ROOT / "docs" / "scale.md").read_text(), "python -m benchmarks.paper"
    rates, terabytes = paper.measured(), paper.TERABYTES
    core_hours = sum(size / rates[name] for name, size in terabytes.items()) / 3600e-6 + 4.749e6 / rates["pack"] / 3600
    assert f"| 16 | {core_hours / 64 / 16:.2g} | ${core_hours / 64 * 3:.0f} |" in paper.page()


def test_a_quick_run_is_not_among_the_results() -> None:
    for path in tables.RESULTS.glob("*.json"):
        document = json.loads(path.read_text())
        assert not document["quick"] and document["commit"] and "+changes" not in document["commit"], path


def test_a_table_has_its_columns_and_units(tmp_path: Path) -> None:
    document = {
        "machine": {"gpu": None, "cpu": "a CPU", "threads": 2}, "versions": {"torch": "1"}, "date": "2026-01-01",
        "commit": None, "results": [{"implementation": "ours", "seconds_per_step": 0.25, "peak_bytes": 2_000_000}],
    }  # fmt: skip
    (tmp_path / "x-a.json").write_text(json.dumps(document))
    page = "before\n<!-- table: x-a implementation seconds_per_step peak_bytes overhead -->\nold\n<!-- end -->\nafter"
    drawn = tables.redrawn(page, tmp_path)
    assert "| implementation | s/step | peak | overhead |" in drawn and "| ours | 0.250 | 2 MB | – |" in drawn
    assert "old" not in drawn and drawn.endswith("after") and tables.redrawn(drawn, tmp_path) == drawn
