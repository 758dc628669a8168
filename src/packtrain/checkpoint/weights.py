"""a checkpoint of either kind → its weights, one tensor at a time

whole     model.safetensors                        name → tensor
sharded   shard-*-model-00001-*.safetensors        name → rectangles of all ranks → tensor
LoRA      model.safetensors: A, B                  name → tensor of the run's base/ + s·B A
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from packtrain.checkpoint.directory import read_meta
from packtrain.checkpoint.sharded import MODEL, WEIGHT_SHARDS
from packtrain.errors import Failure
from packtrain.model.lora import A, B, merged

WEIGHTS = "model.safetensors"
BASE = "base"  # of a LoRA run, beside its checkpoints: a checkpoint itself


class StoredWeights(Mapping[str, Tensor]):
    """The fp32 tensors of a checkpoint, each read when it is asked for and forgotten by us at once.

    `shapes`: name → shape, from the headers alone. Raises `Failure` for files that are damaged or not all there.
    """

    def __init__(self, files: list[Path]) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.places: dict[str, list[tuple[Path, str, tuple[int, ...]]]] = {}  # file, its name there, where it begins
        held: dict[str, int] = {}
        for path in files:
            for name, (stored, begin, shape) in _header(path).items():
                ends = tuple(b + n for b, n in zip(begin, shape, strict=True))
                self.shapes[name] = tuple(map(max, ends, self.shapes.get(name, ends)))
                self.places.setdefault(name, []).append((path, stored, begin))
                held[name] = held.get(name, 0) + torch.Size(shape).numel()
        for name, shape in self.shapes.items():
            if held[name] != torch.Size(shape).numel():
                raise Failure(f"{files[0].parent}: its shards do not hold the whole of {name}: is one missing?")

    def __getitem__(self, name: str) -> Tensor:
        # Opened anew each time: an open file keeps every page that was read mapped into the process.
        pieces = []
        for path, stored, begin in self.places[name]:
            with safe_open(path, framework="pt") as file:
                pieces.append((begin, file.get_tensor(stored)))
        if len(pieces) == 1:
            return pieces[0][1]
        whole = torch.empty(self.shapes[name])
        while pieces:
            begin, piece = pieces.pop()
            whole[tuple(slice(b, b + n) for b, n in zip(begin, piece.shape, strict=True))] = piece
        return whole

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


class MergedWeights(Mapping[str, Tensor]):
    """`base` with the adapters of a LoRA checkpoint added to it, each tensor when it is asked for."""

    def __init__(self, base: Weights, adapters: StoredWeights, scale: float) -> None:
        self.base, self.adapters, self.scale = base, adapters, scale
        self.shapes = base.shapes

    def __getitem__(self, name: str) -> Tensor:
        part = name.removesuffix("weight")
        if part + A not in self.adapters:
            return self.base[name]
        return merged(self.base[name], self.adapters[part + A], self.adapters[part + B], self.scale)

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


Weights = StoredWeights | MergedWeights


def base_of(checkpoint: Path) -> Path:
    """Where the frozen weights of a LoRA checkpoint are: in its run's folder."""
    return checkpoint.parent.parent / BASE


def open_weights(checkpoint: Path) -> Weights:
    """The weights of a checkpoint directory (see `directory.resolve`), from whatever mesh, adapters merged."""
    meta = read_meta(checkpoint)
    if lora := meta.get("lora"):
        base = base_of(checkpoint)
        if not base.is_dir() or weights_digest(read_meta(base)) != lora["base_sha256"]:
            raise Failure(
                f"{checkpoint}: holds LoRA's adapters alone, and {base} is not the model that they were trained on: "
                "keep a run's folder whole, or export it"
            )
        return MergedWeights(open_weights(base), StoredWeights([checkpoint / WEIGHTS]), lora["alpha"] / lora["rank"])
    if meta["kind"] == "whole":
        return StoredWeights([checkpoint / WEIGHTS])
    files = sorted(checkpoint.glob(WEIGHT_SHARDS))
    if not files:
        raise Failure(f"{checkpoint}: holds no shard of the weights ({WEIGHT_SHARDS})")
    return StoredWeights(files)


def weights_digest(meta: Mapping[str, Any]) -> str:
    """A SHA-256 that names the weights of a checkpoint, from what its marker says of their files."""
    files = meta["files"]
    if lora := meta.get("lora"):
        return hashlib.sha256((files[WEIGHTS]["sha256"] + lora["base_sha256"]).encode()).hexdigest()
    if WEIGHTS in files:
        return files[WEIGHTS]["sha256"]
    shards = {name: entry["sha256"] for name, entry in files.items() if Path(name).match(WEIGHT_SHARDS)}
    return hashlib.sha256(json.dumps(shards, sort_keys=True).encode()).hexdigest()


def _header(path: Path) -> dict[str, tuple[str, tuple[int, ...], tuple[int, ...]]]:
    """Name → (name in the file, where its rectangle begins, the rectangle's shape)."""
    found = {}
    try:
        with safe_open(path, framework="pt") as file:
            sharding = json.loads((file.metadata() or {}).get("DCP_SHARDING_INFO", "{}"))
            for stored in file.keys():  # noqa: SIM118 - not a mapping
                shape = tuple(file.get_slice(stored).get_shape())
                begin = tuple(sharding[stored]["saved_offsets"]) if stored in sharding else (0,) * len(shape)
                found[stored.removeprefix(MODEL)] = (stored, begin, shape)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise Failure(f"{path}: cannot be read as safetensors ({str(error).splitlines()[0]})") from error
    return found
