"""a checkpoint → its weights, one tensor at a time"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from packtrain.checkpoint.load import WEIGHTS
from packtrain.errors import Failure


class StoredWeights(Mapping[str, Tensor]):
    """The fp32 tensors of a safetensors file, each read when it is asked for and forgotten by us at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with safe_open(path, framework="pt") as file:
                self.shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise Failure(f"{path}: cannot be read as safetensors ({str(error).splitlines()[0]})") from error

    def __getitem__(self, name: str) -> Tensor:
        # Opened anew each time: an open file keeps every page that was read mapped into the process.
        with safe_open(self.path, framework="pt") as file:
            return file.get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


def open_weights(checkpoint: Path) -> StoredWeights:
    """The weights of a checkpoint directory (see `directory.resolve`)."""
    return StoredWeights(checkpoint / WEIGHTS)
