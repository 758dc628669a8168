"""standard library → one document per module: its source"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path

from packtrain.data.documents import Document
from packtrain.data.domain import Generator
from packtrain.data.domains.python_modules import modules, origin
from packtrain.data.report import Report

NAME = "python_code"
LICENCE = "PSF-2.0"


def generate(source: Path | None, held_out: float, report: Report) -> Iterator[Document]:
    """`source`: the folder of another library, default the running Python's own."""
    for module in modules(source):
        if module.source is None:
            report.drop("cannot be decoded")
        elif not module.source.strip():
            report.drop("empty")
        else:
            yield Document(
                id=f"{NAME}/{module.name}",
                text=module.source,
                domain=NAME,
                source=f"Python {platform.python_version()} {module.path}",
                language="python",
                licence=LICENCE,
                split=module.split(held_out),
            )


DOMAIN = Generator(NAME, generate, origin)
