"""DTensors of any mesh ⇄ safetensors shards, by PyTorch's distributed checkpoint (DCP)

    shard-00001-model-00001-of-00002.safetensors     rank 0's part of the weights     model.layers.0.attention.wq.weight
    shard-00001-model-00002-of-00002.safetensors     and of the optimiser's moments   exp_avg.layers.0.…, exp_avg_sq.…

A shard's header says which rectangle of each tensor it holds, so that any other mesh, or none, can read what it needs.
DCP's own `.metadata` is a pickle and is not used: nothing in a checkpoint can run.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save

from packtrain.errors import Failure

MODEL, MOMENTS = "model.", ("exp_avg.", "exp_avg_sq.")
WEIGHT_SHARDS = "shard-*-model-00001-of-*.safetensors"


def write_later(tensors: dict[str, Tensor], folder: Path, group: Any) -> Any:
    """Copies the tensors (collective), then writes them in a thread; returns a future of when they are written."""
    index = {name: 1 if name.startswith(MODEL) else 2 for name in tensors}
    writer = HuggingFaceStorageWriter(str(folder), fqn_to_index_mapping=index, save_distributed=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return async_save(tensors, storage_writer=writer, process_group=group)  # pyright: ignore[reportArgumentType]


def files_of(rank: int, folder: Path) -> list[Path]:
    """What `rank` wrote."""
    return sorted(folder.glob(f"shard-{rank + 1:05d}-*.safetensors"))


def read_into(tensors: dict[str, Tensor], folder: Path, group: Any) -> None:
    """Fills DTensors of any mesh in place, each rank reading its own rectangles (collective)."""
    _quietly(lambda: load(tensors, storage_reader=HuggingFaceStorageReader(str(folder)), process_group=group))  # pyright: ignore[reportArgumentType]


def read_whole(folder: Path, prefixes: Iterable[str]) -> dict[str, Tensor]:
    """Whole tensors on the CPU, by one process: those whose name begins with one of `prefixes`."""
    try:
        shapes = shapes_of(folder)
        chosen = {name: torch.empty(*shapes[name]) for name in sorted(shapes) if name.startswith(tuple(prefixes))}
        reader = HuggingFaceStorageReader(str(folder))
        _quietly(lambda: load(chosen, storage_reader=reader, no_dist=True))  # pyright: ignore[reportArgumentType]
    except (OSError, SafetensorError, RuntimeError, CheckpointException) as error:
        raise Failure(f"{folder}: its shards cannot be read: {str(error).splitlines()[0]}") from error
    return chosen


def shapes_of(folder: Path) -> dict[str, tuple[torch.Size]]:
    """Name → (size,) of every whole tensor, from the headers alone."""
    sizes = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    return {name: (found.size,) for name, found in sizes.items()}  # pyright: ignore[reportAttributeAccessIssue]


def _quietly(action: Callable[[], Any]) -> None:
    with warnings.catch_warnings():  # DCP warns that there is one process
        warnings.simplefilter("ignore")
        action()
