"""(name, shape) known → header written → tensors appended one by one → *.safetensors, never two tensors in memory

The file format: 8 bytes, the header's length; the header, JSON of name → dtype, shape, offsets; then the tensors' bytes
(https://github.com/huggingface/safetensors). The library writes a whole dictionary at once; a model that does not fit
into memory must be written as it is read.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

CODES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
SHARD_BYTES = 5_000_000_000


@contextmanager
def said_as_os_error(path: Path) -> Iterator[None]:
    """A library's own words for a full disk (torch's, NumPy's) as the system says it."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error


def plan_shards(sizes: Mapping[str, int], limit: int = SHARD_BYTES) -> list[list[str]]:
    """Names in order, cut into shards of at most `limit` bytes; a tensor larger than that has a shard of its own."""
    shards: list[list[str]] = [[]]
    used = 0
    for name, size in sizes.items():
        if shards[-1] and used + size > limit:
            shards.append([])
            used = 0
        shards[-1].append(name)
        used += size
    return shards


def write_file(
    path: Path, shapes: Mapping[str, tuple[int, ...]], tensors: Iterable[tuple[str, Tensor]], dtype: torch.dtype
) -> None:
    """One safetensors file; `tensors` come in the order of `shapes` and are cast to `dtype`."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape in shapes.items():
        size = bytes_of(shape, dtype)
        header[name] = {"dtype": CODES[dtype], "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the tensors begin at a multiple of eight
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for (name, tensor), (expected, shape) in zip(tensors, shapes.items(), strict=True):
            assert name == expected and tuple(tensor.shape) == tuple(shape), (name, expected)
            file.write(raw(tensor.to(dtype)))


def write_shards(
    folder: Path,
    shapes: Mapping[str, tuple[int, ...]],
    tensors: Mapping[str, Tensor],
    dtype: torch.dtype,
    limit: int = SHARD_BYTES,
) -> list[str]:
    """model.safetensors, or model-0000k-of-0000n.safetensors with an index beside them. Returns the files' names."""
    sizes = {name: bytes_of(shape, dtype) for name, shape in shapes.items()}
    shards = plan_shards(sizes, limit)
    names = [f"model-{k + 1:05d}-of-{len(shards):05d}.safetensors" for k in range(len(shards))]
    if len(shards) == 1:
        names = ["model.safetensors"]
    for file, members in zip(names, shards, strict=True):
        write_file(folder / file, {m: shapes[m] for m in members}, ((m, tensors[m]) for m in members), dtype)
    if len(shards) > 1:
        where = {m: file for file, members in zip(names, shards, strict=True) for m in members}
        index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": where}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    return names


def bytes_of(shape: tuple[int, ...], dtype: torch.dtype) -> int:
    return torch.Size(shape).numel() * dtype.itemsize


def raw(tensor: Tensor) -> memoryview:
    """The bytes of a tensor in the order in which it is read."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
