"""benchmarks/results/{prepare,pack}-*.json → hours and money of the paper's 4.7 TB: the tables of docs/scale.md

    python -m benchmarks.paper

Extrapolated: every byte of the paper's table 1 at the MB/s of one core, on machines that share the work evenly.
"""

from __future__ import annotations

import json

from benchmarks.common import ROOT

MACHINE = "amd-epyc-2cpu"
TERABYTES = {"common_crawl": 3.3, "c4": 0.783, "github": 0.328, "wikipedia": 0.083, "books": 0.085, "arxiv": 0.092,
             "stack_exchange": 0.078}  # Touvron et al., 2023, table 1  # fmt: skip
CORES, DOLLARS = 64, 3  # of a machine, and for its hour


def measured() -> dict[str, float]:
    """MB/s of one core: of each domain, and of pack (bytes of text over processor time).

    common_crawl and c4 stand there twice, of raw files and of a larger WET: the later, slower row is taken.
    """
    results = ROOT / "benchmarks" / "results"
    prepare = json.loads((results / f"prepare-{MACHINE}.json").read_text())["results"]
    pack = json.loads((results / f"pack-{MACHINE}.json").read_text())
    own = {row["domain"]: row["mb_per_second"] for row in prepare if row["by"] == "packtrain"}
    ours = next(row for row in pack["results"] if row["what"] == "packtrain pack")
    return {**own, "pack": pack["text_bytes"] / 1e6 / ours["cpu_seconds_per_step"]}


def page() -> str:
    """Both tables."""
    rates, sizes = measured(), {**TERABYTES, "pack": sum(TERABYTES.values())}
    hours = {name: size * 1e6 / rates[name] / 3600 for name, size in sizes.items()}
    lines = ["| | MB/s a core | TB | core hours |", "|---|---|---|---|"]
    lines += [f"| {name} | {rates[name]:.1f} | {size:.3g} | {hours[name]:.0f} |" for name, size in sizes.items()]
    lines += ["", "| machines | hours | money |", "|---|---|---|"]
    total = sum(hours.values()) / CORES
    lines += [f"| {count} | {total / count:.2g} | ${total * DOLLARS:.0f} |" for count in (1, 16, 256)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
