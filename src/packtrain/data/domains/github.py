"""repositories → source files → licence → hand-written → notebooks to code → headers off → lines → exact duplicates

A repository is a folder, an archive (zip, tar.gz, …) or an installed Python package (what a RECORD lists).
Duplicates are looked for after the cleaning: a copy under another header is still a copy.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packtrain.data.code import repositories
from packtrain.data.code.languages import language_of
from packtrain.data.code.quality import HandWritten, Headers, Licensed, Lines, Notebooks
from packtrain.data.documents import Document
from packtrain.data.domain import Domain
from packtrain.data.exact_duplicates import ExactDuplicates
from packtrain.data.limits import decode, is_binary
from packtrain.data.packed import Limits
from packtrain.data.step import AnyStep, Skips
from packtrain.errors import UserError

NAME = "github"
NEEDS = "a folder of repositories or their archives (zip, tar.gz), one repository, or a site-packages folder"


@dataclass(frozen=True)
class Parameters:
    """licences: SPDX identifiers that are kept. max_mean_line, max_line: characters. max_kib: of one source file."""

    licences: tuple[str, ...] = ("MIT", "MIT-0", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0")
    max_mean_line: float = 100
    max_line: int = 1000
    min_alphanumeric: float = 0.25
    min_characters: int = 50
    max_kib: int = 1024
    archive_mib: int = 4096
    archive_files: int = 500_000


def inputs(path: Path, parameters: Parameters) -> list[Path]:
    found = repositories.find(path)
    if path.is_file() and not path.name.lower().endswith(repositories.ARCHIVES):
        raise UserError(f"input={path}: no repository; expected {NEEDS}")
    if not found:
        raise UserError(f"input={path}: the folder is empty; expected {NEEDS}")
    return found


def read(path: Path, name: str, parameters: Parameters, skips: Skips) -> Iterator[Document]:
    """The source files of one repository, with the repository's licence."""
    limits = Limits(parameters.max_kib << 10, parameters.archive_mib << 20, parameters.archive_files)
    licences: list[repositories.File] = []
    licence, known = None, False
    for file in repositories.files(path, lambda name: language_of(name) is not None, limits, skips):
        if repositories.is_licence_file(file.path):
            licences.append(file)
            continue
        if not known:  # licence files come first
            licence, known = repositories.licence(licences, repositories.metadata(path)), True
        if is_binary(file.content):
            skips.skip("binary", 0, file.path)
        elif (found := decode(file.content)) is None:
            skips.skip("encoding unknown", 0, file.path)
        else:
            metadata = {"path": file.path, "repository": name}
            yield Document(
                id=f"{name}/{file.path}",
                text=found[0].replace("\r\n", "\n"),
                domain=NAME,
                source=name,
                language=language_of(file.path),
                licence=licence,
                metadata=metadata,
            )


def steps(parameters: Parameters) -> list[AnyStep]:
    p = parameters
    return [
        Licensed(p.licences),
        HandWritten(),
        Notebooks(),
        Headers(),
        Lines(p.max_mean_line, p.max_line, p.min_alphanumeric, p.min_characters),
        ExactDuplicates(),
    ]


def installed() -> Path:
    """The Python packages that are installed here, each with its licence: what is read where no input is given."""
    return Path(sysconfig.get_path("purelib"))


DOMAIN = Domain(NAME, Parameters, inputs, read, steps, NEEDS, default=installed, version=2)
