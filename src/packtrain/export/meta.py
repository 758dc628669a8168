"""ours ⇄ consolidated.NN.pth + params.json, in 1 to 8 shards

A shard holds every tensor, cut along one dimension: wq, wk, wv, w1, w3 and output by rows; wo, w2 and the embedding by
columns (rows where the release does so, as LLaMA 3); norms whole. Read with `weights_only`, mapped into memory.
Written without ever holding a shard: torch reserves the room in the file, then each tensor is put in its place.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from packtrain.errors import UserError
from packtrain.export.shapes import Tensors, check_numbers, tensor_shapes
from packtrain.export.stream import raw, said_as_os_error
from packtrain.model.config import ModelConfig

BY_ROWS = ("attention.wq.weight", "attention.wk.weight", "attention.wv.weight", "w1.weight", "w3.weight")
BY_COLUMNS = ("attention.wo.weight", "w2.weight", "tok_embeddings.weight")
LOCAL_HEADER = 30  # bytes of a zip member's own header before its name
MAX_SHARDS = 8


def cut_along(name: str) -> int | None:
    """The dimension that a tensor is cut along; None: every shard holds it whole."""
    if name.endswith(BY_ROWS) or name == "output.weight":
        return 0
    return 1 if name.endswith(BY_COLUMNS) else None


def shard_shapes(config: ModelConfig, shards: int) -> dict[str, tuple[int, ...]]:
    """Name → shape in one shard. Raises `UserError` where the model cannot be cut so."""
    if not 1 <= shards <= MAX_SHARDS:
        raise UserError(f"shards={shards}: expected 1 to {MAX_SHARDS}")
    if config.kv_heads % shards or config.hidden_dim % shards or config.vocabulary % shards:
        possible = [
            n
            for n in range(1, MAX_SHARDS + 1)
            if not (config.kv_heads % n or config.hidden_dim % n or config.vocabulary % n)
        ]
        raise UserError(
            f"shards={shards}: {config.kv_heads} key heads, a feed-forward of {config.hidden_dim} and a vocabulary of "
            f"{config.vocabulary} cannot all be cut so; possible: {', '.join(map(str, possible))}"
        )
    shapes = {}
    for name, shape in tensor_shapes(config).items():
        along = cut_along(name)
        shapes[name] = tuple(n // shards if d == along else n for d, n in enumerate(shape))
    return shapes


def params_json(config: ModelConfig) -> dict[str, Any]:
    """params.json as Meta's code reads it; `ffn_dim` is ours, for widths that its rule cannot give."""
    values: dict[str, Any] = {
        "dim": config.dim, "n_layers": config.n_layers, "n_heads": config.n_heads, "norm_eps": config.norm_eps,
        "vocab_size": config.vocabulary, "multiple_of": config.ffn_multiple_of, "rope_theta": config.rope_theta,
        "max_seq_len": config.max_sequence_length,
    }  # fmt: skip
    if config.kv_heads != config.n_heads:
        values["n_kv_heads"] = config.kv_heads
    if config.ffn_dim is not None:
        values["ffn_dim"] = config.ffn_dim
    return values


def write_meta(folder: Path, ours: Tensors, config: ModelConfig, shards: int, dtype: torch.dtype) -> None:
    """consolidated.00.pth … and params.json in `folder`."""
    shapes = shard_shapes(config, shards)
    paths = [folder / f"consolidated.{i:02d}.pth" for i in range(shards)]
    for path in paths:  # torch.empty takes no memory before it is written to, and it never is
        with torch.serialization.skip_data(), said_as_os_error(path):
            torch.save({name: torch.empty(shape, dtype=dtype) for name, shape in shapes.items()}, path)
    places = [record_offsets(path) for path in paths]
    files = [path.open("r+b") for path in paths]
    try:
        for number, name in enumerate(shapes):
            along = cut_along(name)
            tensor = ours[name].to(dtype)
            parts = [tensor] * shards if along is None else tensor.chunk(shards, dim=along)
            for file, place, part in zip(files, places, parts, strict=True):
                _put(file, place[f"data/{number}"], part)
    finally:
        for file in files:
            file.close()
    (folder / "params.json").write_text(json.dumps(params_json(config), indent=1) + "\n", encoding="utf-8")


def record_offsets(path: Path) -> dict[str, int]:
    """Record of a torch file (`data/0` …) → where its bytes begin. The members are stored, never compressed."""
    offsets = {}
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for member in archive.infolist():
            file.seek(member.header_offset + LOCAL_HEADER - 4)
            name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
            offsets[member.filename.split("/", 1)[1]] = member.header_offset + LOCAL_HEADER + name + extra
    return offsets


def _put(file: BinaryIO, offset: int, tensor: Tensor) -> None:
    file.seek(offset)
    file.write(raw(tensor))


class FromMeta(Mapping[str, Tensor]):
    """The shards of a Meta checkpoint put together, tensor by tensor, under the same names, which are ours."""

    def __init__(self, shards: list[Mapping[str, Tensor]], config: ModelConfig) -> None:
        self.shards, self.names = shards, tensor_shapes(config)

    def __getitem__(self, name: str) -> Tensor:
        parts = [shard[name] for shard in self.shards]
        whole = self.names[name]
        # A LLaMA 3 embedding is cut by rows: the shapes tell, not the version.
        along = next((d for d, n in enumerate(whole) if parts[0].shape[d] != n), None)
        return parts[0] if along is None else torch.cat(parts, dim=along)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def read_meta_folder(folder: Path, vocab_size: int | None) -> tuple[FromMeta, ModelConfig]:
    """The weights and the configuration of a folder as Meta releases it.

    `vocab_size` stands in where params.json says −1, as LLaMA 1's do. Raises `UserError`: no params.json, a shard that
    is missing or cannot be read, shapes that do not fit.
    """
    paths = sorted(folder.glob("consolidated.*.pth"))
    expected = [folder / f"consolidated.{i:02d}.pth" for i in range(len(paths))]
    if paths != expected or not paths:
        lacking = next((p.name for p in expected if p not in paths), "consolidated.00.pth")
        raise UserError(f"{folder}: {lacking} is missing; a Meta checkpoint needs all of its shards")
    shards: list[Mapping[str, Tensor]] = [load_weights(path) for path in paths]
    config = our_config(read_json(folder / "params.json"), shards, vocab_size, folder / "params.json")
    shapes = tensor_shapes(config)
    for path, shard in zip(paths, shards, strict=True):
        for name, shape in shapes.items():
            if name not in shard:
                raise UserError(f"{path}: the tensor {name} is missing; the file and params.json do not fit together")
            check_numbers(shard[name], name, path)
            if shard[name].numel() * len(shards) != torch.Size(shape).numel() and tuple(shard[name].shape) != shape:
                raise UserError(
                    f"{path}: {name} has shape {tuple(shard[name].shape)}, which is no part of {shape} in "
                    f"{len(shards)} shards: a shard is missing, or params.json is another model's"
                )
    return FromMeta(shards, config), config


def our_config(
    found: Mapping[str, Any], shards: list[Mapping[str, Tensor]], vocab_size: int | None, where: object
) -> ModelConfig:
    """params.json → our configuration. The feed-forward's width is read off w1, so that no rounding rule matters."""
    for key in ("use_scaled_rope", "rope_scaling"):
        if found.get(key):
            raise UserError(f"{where}: {key} is set (LLaMA 3.1 and later): rope scaling is not supported")
    try:
        vocabulary = int(found.get("vocab_size", -1))
        if vocabulary <= 0:
            vocabulary = vocab_size or sum(shard["output.weight"].shape[0] for shard in shards)
        width = sum(shard["layers.0.feed_forward.w1.weight"].shape[0] for shard in shards)
        config = ModelConfig(
            dim=int(found["dim"]), n_layers=int(found["n_layers"]), n_heads=int(found["n_heads"]),
            n_kv_heads=found.get("n_kv_heads"), vocab_size=vocabulary,
            max_sequence_length=int(found.get("max_seq_len", 2048)),
            ffn_multiple_of=int(found.get("multiple_of", 256)), ffn_dim=width,
            rope_theta=float(found.get("rope_theta", 10000.0)), norm_eps=float(found.get("norm_eps", 1e-6)),
        )  # fmt: skip
    except KeyError as error:
        raise UserError(f"{where}: has no {error.args[0]}: not a LLaMA checkpoint of Meta's") from error
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: holds no number where one belongs ({error}); download it again") from error
    if "ffn_dim" not in found:
        by_rule = ModelConfig(**{**vars(config), "ffn_dim": None})
        if by_rule.hidden_dim == width:
            return by_rule
    return config


def load_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a torch file, mapped. Raises `UserError` for a file that holds anything else."""
    try:
        found = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except Exception as error:  # torch raises errors of many kinds for a file that is no file of weights
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: cannot be read as weights alone ({reason})") from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise UserError(f"{path}: holds no mapping of names to tensors")
    return found


def read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read; a Meta checkpoint has it beside its shards") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: is no JSON object")
    return values
