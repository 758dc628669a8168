"""benchmarks/results/*.json → the tables of docs/performance.md, between their markers

    <!-- table: train_step-amd-epyc-2cpu implementation precision … -->   file and columns
    | … |                                                                 drawn from it
    <!-- end -->

`python -m benchmarks.tables` writes them; a test fails where the page and the JSON differ.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE, RESULTS = ROOT / "docs" / "performance.md", ROOT / "benchmarks" / "results"
BLOCK = re.compile(r"(<!-- table: (\S+) (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
UNITS = {
    "seconds_per_step": "s/step",
    "cpu_seconds_per_step": "CPU s/step",
    "tokens_per_second": "tokens/s",
    "prefill_tokens_per_second": "prefill tokens/s",
}


def draw(document: dict[str, Any], columns: list[str]) -> str:
    """The results of one file as a Markdown table, headed by where they are from."""
    machine, versions = document["machine"], document["versions"]
    named = ("torch", "transformers", "litgpt", "llama_cpp_python")
    packages = ", ".join(f"{name} {versions[name]}" for name in named if name in versions)
    what = machine["gpu"] or f"{machine['cpu']}, {machine['threads']} threads"
    lines = [
        f"*{what}; {packages}; {document['date']}, commit {(document['commit'] or 'unknown')[:10]}*",
        "",
        "| " + " | ".join(UNITS.get(c, c.removesuffix("_bytes").replace("_", " ")) for c in columns) + " |",
        "|" + "---|" * len(columns),
    ]
    lines += ["| " + " | ".join(_cell(c, row.get(c)) for c in columns) + " |" for row in document["results"]]
    return "\n".join(lines) + "\n"


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("_bytes"):
        return f"{value / 1e6:,.0f} MB"
    if name in ("spread", "matrix_products", "of_none", "overhead", "overhead_cpu") or name.startswith("mfu"):
        return f"{value:.1%}" if abs(value) >= 0.001 or not value else f"{100 * value:.1g}%"
    if isinstance(value, float):
        if 0 < abs(value) < 0.001:
            return f"{value:.5f}"
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}" if "times" in name else f"{value:.3f}"
    return str(value)


def redrawn(page: str, results: Path = RESULTS) -> str:
    """`page` with every marked table drawn anew. Raises `FileNotFoundError` for results that are not there."""

    def table(found: re.Match[str]) -> str:
        opening, name, columns, closing = found.groups()
        document = json.loads((results / f"{name}.json").read_text())
        return opening + draw(document, columns.split()) + closing

    return BLOCK.sub(table, page)


def main() -> None:
    PAGE.write_text(redrawn(PAGE.read_text()))
    print(f"→ {PAGE}")


if __name__ == "__main__":
    main()
