"""report.json → the lines that a command says: what was kept, what was skipped and where"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SHOWN_SKIPS = 3


def summary(values: dict[str, Any]) -> str:
    """`729 of 732 documents kept (3 empty), 11.3 MB; held out 67, 1.5 MB`"""
    dropped = counts(values["dropped"])
    line = f"{values['kept']} of {values['read']} documents kept"
    line += f" ({dropped})" if dropped else ""
    line += f", {size(values['bytes'])}"
    held = values["splits"].get("held_out")
    return line + (f"; held out {held['documents']}, {size(held['bytes'])}" if held else "; none held out")


def skipped(values: Mapping[str, Any]) -> str:
    """`skipped 2 binary, 1 truncated`, or nothing."""
    found = counts(values.get("skipped", {}).get("counts", {}))
    return f"skipped {found}" if found else ""


def skip_lines(values: Mapping[str, Any]) -> list[str]:
    """What was skipped and where: a line of counts, and the first places of each reason."""
    if not (told := skipped(values)):
        return []
    lines = [f"{told} (all counted in report.json)"]
    for reason in values["skipped"]["counts"]:
        places = [skip for skip in values["skipped"]["first"] if skip["reason"] == reason]
        for skip in places[:SHOWN_SKIPS]:
            where = "" if skip["offset"] is None else f" at {skip['offset']:,}"
            detail = f" ({skip['detail']})" if skip["detail"] else ""
            lines.append(f"  {reason}: {skip['file']}{where}{detail}")
    return lines


def size(count: float) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def counts(values: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in values.items())
