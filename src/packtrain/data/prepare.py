"""raw input ─domain's generator→ DIR/{train,held_out}-00000.jsonl.zst + DIR/report.json"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from packtrain.data.documents import DocumentWriter
from packtrain.data.domains.registry import source_of
from packtrain.data.publish import already_made, publish
from packtrain.data.report import Report
from packtrain.errors import UserError

REPORT = "report.json"
VERSION = 1  # raise it when a generator changes what it makes


def prepare(
    domain: str,
    source: Path | None,
    output: Path,
    held_out: float,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Makes the documents of one domain and returns the report. Made already with the same settings: does nothing.

    Raises `UserError`: unknown domain, missing input, nothing kept, or an output made with other settings.
    """
    maker = source_of(domain)
    if source is not None and not source.exists():
        raise UserError(f"input={source}: no such file or directory")
    settings = {
        "domain": domain,
        "input": None if source is None else str(source),
        "origin": maker.origin(source),
        "held_out": held_out,
        "version": VERSION,
    }
    existing = read_report(output)
    if already_made(output, settings, existing and existing.get("settings"), overwrite, say):
        return existing or {}
    report = Report()
    with publish(output) as folder:
        with DocumentWriter(folder) as writer:
            documents = maker.generate(source, held_out, report)
            for document in tqdm(documents, desc=f"prepare {domain}", unit=" documents", delay=1, disable=None):
                writer.write(document)
                report.keep(document)
        if not report.kept:
            reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(report.dropped.items())) or "nothing was read"
            raise UserError(f"domain={domain}: no documents to keep ({reasons}); give another input=PATH")
        values = {"domain": domain, **report.values(), "settings": settings}
        (folder / REPORT).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    say(f"{output}: {summary(values)}")
    return values


def read_report(directory: Path) -> dict[str, Any] | None:
    """DIR/report.json, or None where there is none that can be read."""
    try:
        values = json.loads((directory / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def summary(values: dict[str, Any]) -> str:
    """`729 of 732 documents kept (3 empty), 11.3 MB; held out 67, 1.5 MB`"""
    dropped = ", ".join(f"{n} {reason}" for reason, n in values["dropped"].items())
    line = f"{values['kept']} of {values['read']} documents kept"
    line += f" ({dropped})" if dropped else ""
    line += f", {size(values['bytes'])}"
    held = values["splits"].get("held_out")
    return line + (f"; held out {held['documents']}, {size(held['bytes'])}" if held else "; none held out")


def size(count: float) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"
