"""a folder of Hugging Face's, Meta's or our making → configuration, weights under our names, its tokenizer file"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from packtrain.errors import UserError
from packtrain.export.huggingface import HF_ENDS, FromHF, hf_shapes, our_config
from packtrain.export.meta import load_weights, read_json, read_meta_folder
from packtrain.export.meta import our_config as metas_config
from packtrain.export.shapes import Tensors, check_numbers, check_shapes, tensor_shapes
from packtrain.model.config import ModelConfig

IGNORED = ("rotary_emb.inv_freq",)  # buffers that old checkpoints carry along
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
SINGLE = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class Found:
    """What an import reads. `tokenizer` is None where there is no SentencePiece model; `notes` are said to the user."""

    config: ModelConfig
    tensors: Tensors
    tokenizer: Path | None
    notes: tuple[str, ...]


def read_folder(source: Path, vocab_size: int | None = None) -> Found:
    """config.json: Hugging Face's format; params.json: Meta's, or our own. Raises `UserError` for anything else."""
    if not source.is_dir():
        raise UserError(f"source={source}: no such folder; give the folder with config.json or params.json in it")
    places = (source / "tokenizer.model", source.parent / "tokenizer.model")
    found = next((p for p in places if p.is_file() and not _is_ranks(p)), None)
    notes = () if found else (f"{source} has no SentencePiece tokenizer.model: the weights alone are imported",)
    if (source / "config.json").is_file():
        return _hugging_face(source, found, notes)
    if (source / "params.json").is_file():
        read = read_native if (source / SINGLE[0]).is_file() else read_meta_folder
        tensors, config = read(source, vocab_size)
        return Found(config, tensors, found, notes)
    raise UserError(
        f"source={source}: holds neither config.json (Hugging Face) nor params.json (Meta): no checkpoint to import"
    )


def _is_ranks(path: Path) -> bool:
    """Whether it is LLaMA 3's tokenizer, which Meta gives the same name: lines of a token in base64 and its rank."""
    with path.open("rb") as file:
        return re.fullmatch(rb"[A-Za-z0-9+/]+=* \d+", file.readline(1000).strip()) is not None


def _hugging_face(source: Path, tokenizer: Path | None, notes: tuple[str, ...]) -> Found:
    try:
        values = json.loads((source / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{source / 'config.json'}: is no JSON") from error
    if not isinstance(values, dict):
        raise UserError(f"{source / 'config.json'}: is no JSON object: not the configuration of a LLaMA")
    config, tied = our_config(values, source / "config.json")
    stored = open_hf(source)
    shapes = {name: shape for name, shape in stored.shapes.items() if not name.endswith(IGNORED)}
    expected = hf_shapes(config)
    if tied:
        expected.pop(HF_ENDS["output.weight"])
        shapes.pop(HF_ENDS["output.weight"], None)
        notes = (*notes, "its embeddings are tied: the output matrix becomes a copy of the embedding's")
    check_shapes(shapes, expected, source)
    return Found(config, FromHF(stored, config, tied), tokenizer, notes)


def read_native(folder: Path, vocab_size: int | None) -> tuple[Tensors, ModelConfig]:
    """One model.safetensors under our names, and params.json. Raises `UserError` where they do not fit together."""
    stored = open_hf(folder)
    config = metas_config(read_json(folder / "params.json"), [stored], vocab_size, folder / "params.json")
    check_shapes(stored.shapes, tensor_shapes(config), folder)
    return stored, config


class Files(Mapping[str, Tensor]):
    """Tensors spread over files, each read when asked for; `.bin` files are mapped and read with `weights_only`."""

    def __init__(self, where: Mapping[str, Path]) -> None:
        self.where = where
        self.mapped: dict[Path, dict[str, Tensor]] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        for path in dict.fromkeys(where.values()):
            held = self._shapes(path)
            self.shapes |= {name: shape for name, shape in held.items() if where.get(name) == path}

    def __getitem__(self, name: str) -> Tensor:
        path = self.where[name]
        if path in self.mapped:
            tensor = self.mapped[path][name]
        else:
            with safe_open(path, framework="pt") as file:
                tensor = file.get_tensor(name)
        check_numbers(tensor, name, path)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def _shapes(self, path: Path) -> dict[str, tuple[int, ...]]:
        if path.suffix == ".bin":
            self.mapped[path] = load_weights(path)
            return {name: tuple(tensor.shape) for name, tensor in self.mapped[path].items()}
        try:
            with safe_open(path, framework="pt") as file:
                return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path}: cannot be read as safetensors ({str(error).splitlines()[0]})") from error


def open_hf(source: Path) -> Files:
    """The tensors of a folder: one file, or the files of its index, safetensors before .bin."""
    for single, index in zip(SINGLE, INDEXES, strict=True):
        if (source / index).is_file():
            return Files(_indexed(source, source / index))
        if (source / single).is_file():
            return Files(dict.fromkeys(_names(source / single), source / single))
    raise UserError(f"{source}: has no weights: neither {SINGLE[0]} nor {SINGLE[1]}, nor an index of shards")


def _indexed(source: Path, index: Path) -> dict[str, Path]:
    try:
        table = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = sorted({str(file) for file in table.values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{index}: is no index of shards; download it again") from error
    for file in files:
        if Path(file).name != file:
            raise UserError(f"{index}: names {file}, which is outside of the folder")
        if not (source / file).is_file():
            raise UserError(f"{source}: the shard {file} is missing; download it again")
    return {name: source / file for name, file in table.items()}


def _names(path: Path) -> list[str]:
    if path.suffix == ".bin":
        return list(load_weights(path))
    try:
        with safe_open(path, framework="pt") as file:
            return list(file.keys())
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: cannot be read as safetensors ({str(error).splitlines()[0]})") from error
