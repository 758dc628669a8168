"""what a command makes appears whole or not at all, is not made twice, and is never overwritten unasked

settings ─already_made?→ yes: say so, do nothing · other settings: refuse, naming them · no: build in .NAME.tmp → rename
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from packtrain.errors import Failure, UserError
from packtrain.lock import only_maker


def already_made(
    output: Path,
    settings: Mapping[str, Any],
    made: Mapping[str, Any] | None,
    overwrite: bool,
    say: Callable[[str], None],
) -> bool:
    """True where `output` was made by these very `settings`; `made` are the settings that it records, None without any.

    Raises `UserError` where it was made by others, naming them, unless `overwrite`; and always where there is
    something that this program did not make.
    """
    if not output.exists():
        return False
    if made is None:
        if (output.is_dir() and not any(output.iterdir())) or (output.is_file() and overwrite):
            return False
        raise UserError(f"output={output}: exists and was not made by this command; choose another output")
    # As JSON would give them back: tuples as lists, keys as text.
    wanted = json.loads(json.dumps(dict(settings)))
    if wanted == dict(made):
        if overwrite:
            return False
        say(f"{output}: already made with these settings, nothing to do")
        return True
    if overwrite:
        return False
    names = sorted(key for key in wanted.keys() | made.keys() if wanted.get(key) != made.get(key))
    changes = ", ".join(f"{key} {_short(made.get(key))} → {_short(wanted.get(key))}" for key in names)
    raise UserError(
        f"output={output}: was made with other settings ({changes}); choose another output or overwrite=true"
    )


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "…"


@contextmanager
def publish(output: Path) -> Iterator[Path]:
    """A directory to build in, renamed to `output` at the end; on an error it is removed and `output` is as before.

    Raises `UserError` where another process is making the same output.
    """
    with only_maker(output), _built(output) as building:
        yield building


@contextmanager
def _built(output: Path) -> Iterator[Path]:
    if output.exists() and not output.is_dir():
        raise UserError(f"output={output}: is a file, where this command makes a folder; choose another output")
    building = output.with_name(f".{output.name}.tmp")  # hidden: nobody reads it as input
    replaced = output.with_name(f".{output.name}.old")
    _put_back(replaced, output)
    for leftover in (building, replaced):
        if leftover.exists():
            shutil.rmtree(leftover)
    try:
        building.mkdir(parents=True)
        yield building
        if output.exists():
            output.rename(replaced)
        building.rename(output)
    except BaseException:
        _put_back(replaced, output)
        shutil.rmtree(building, ignore_errors=True)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


def _put_back(replaced: Path, output: Path) -> None:
    """Where it stopped between the two renames."""
    if replaced.exists() and not output.exists():
        replaced.rename(output)


@contextmanager
def publish_with_work(output: Path, fingerprint: str, say: Callable[[str], None]) -> Iterator[tuple[Path, Path]]:
    """As `publish`, and beside it a folder for what is made on the way: (that, the directory to build in).

    It is kept where going on makes sense, after a kill or a full disk. One that work of another fingerprint left is
    begun anew. It is removed at the end, and after a mistake of the user's or of ours, which would only come again.
    """
    folder = output.with_name(f".{output.name}.work")
    with only_maker(output):
        mark = folder / "fingerprint"
        known = mark.read_text(errors="replace") if mark.exists() else None
        if known is not None and known != fingerprint:
            say(f"{output}: what was begun with other settings, code or input is made anew")
            shutil.rmtree(folder)
        elif known is not None:
            say(f"{output}: goes on where it stopped")
        folder.mkdir(exist_ok=True)
        mark.write_text(fingerprint)
        try:
            with _built(output) as building:
                yield folder, building
        except BaseException as error:
            hopeless = isinstance(error, Exception) and not isinstance(error, (Failure, OSError, MemoryError))
            if hopeless or not any(folder.glob("*/*/done.json")):
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)


def link(path: Path, target: Path) -> None:
    """The file under a second name, so that a kill loses neither; a copy where the file system has no hard links."""
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)
