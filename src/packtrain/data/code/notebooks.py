"""Jupyter notebook (JSON) → source code: code cells as they are, Markdown cells as comments, outputs left out"""

from __future__ import annotations

import json
from typing import Any

SLASHES = ("javascript", "typescript", "c++", "java", "scala", "rust", "go", "c#", "kotlin")


def to_code(text: str) -> tuple[str, str] | None:
    """(source, language), or None for what is no notebook. Shell and magic lines are commented out."""
    try:
        notebook = json.loads(text)
        cells = notebook.get("cells") or [cell for sheet in notebook.get("worksheets", []) for cell in sheet["cells"]]
        about = notebook.get("metadata", {})
        language = str(
            (about.get("kernelspec") or {}).get("language") or (about.get("language_info") or {}).get("name") or ""
        )
        language = language.lower() or "python"
        mark = "//" if language in SLASHES else "#"
        parts = [part for cell in cells if (part := _cell(cell, mark)).strip()]
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError):
        return None
    return "\n\n".join(parts) + "\n" if parts else "", language


def _cell(cell: dict[str, Any], mark: str) -> str:
    source = cell.get("source", cell.get("input", ""))
    lines = ("".join(source) if isinstance(source, list) else str(source)).rstrip().split("\n")
    if cell.get("cell_type") == "code":
        if lines[0].startswith("%%"):  # the whole cell is another language, or timed
            lines = [f"{mark} {lines[0]}", *lines[1:]]
        return "\n".join(
            f"{mark} {line}" if line.lstrip().startswith(("!", "%")) and mark == "#" else line for line in lines
        )
    if cell.get("cell_type") in ("markdown", "heading"):
        return "\n".join(f"{mark} {line}".rstrip() for line in lines) if any(line.strip() for line in lines) else ""
    return ""
