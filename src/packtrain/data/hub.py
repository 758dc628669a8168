"""a data set on the Hugging Face hub, or in a folder as it gives it → its rows, by the `datasets` package"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packtrain.errors import UserError


def hub_rows(repository: str, config: str | None, split: str, who: str, instead: str) -> Iterator[dict[str, Any]]:
    """`repository`: its name, or the path of a folder that was downloaded from there. Raises `UserError`, whose line
    `who` begins, and what can be given `instead` ends."""
    local = Path(repository).is_dir()
    try:
        import datasets  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        place = "a folder of data" if local else "on the Hugging Face hub"
        raise UserError(
            f"{who}: {repository} is {place}, which needs datasets: pip install 'packtrain[eval]', or {instead}"
        ) from error
    try:
        found: Any = datasets.load_dataset(repository, config, split=split)
    except Exception as error:  # whatever is raised there, the set was not given
        kind = type(error).__name__
        why = (
            f"the folder {repository} holds no set with a split '{split}' ({kind}); {instead}"
            if local
            else f"the Hugging Face hub did not give {repository} ({kind}); without a network {instead}"
        )
        raise UserError(f"{who}: {why}") from error
    return (dict(row) for row in found)
