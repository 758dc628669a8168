"""the name of a data set on the Hugging Face hub → its rows, by the `datasets` package where it is installed"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from packtrain.errors import UserError


def hub_rows(repository: str, config: str | None, split: str, who: str, instead: str) -> Iterator[dict[str, Any]]:
    """Raises `UserError`, its line begun by `who` and ended by what can be given `instead`."""
    try:
        import datasets  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(
            f"{who}: {repository} is on the Hugging Face hub, which needs datasets: "
            f"pip install 'packtrain[eval]', or {instead}"
        ) from error
    try:
        found: Any = datasets.load_dataset(repository, config, split=split)
    except Exception as error:  # whatever is raised there, the hub did not give the set
        raise UserError(
            f"{who}: the Hugging Face hub did not give {repository} ({type(error).__name__}); "
            f"without a network {instead}"
        ) from error
    return (dict(row) for row in found)
