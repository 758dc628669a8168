"""weights + configuration + tokenizer ─→ a folder in one of four formats ─→ read back, compared with its source"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from packtrain.errors import UserError
from packtrain.export import gguf, meta
from packtrain.export.hf_tokenizer import write_tokenizer
from packtrain.export.huggingface import AsHF, hf_config, hf_name, hf_shapes
from packtrain.export.read import open_hf, read_native
from packtrain.export.shapes import Tensors, tensor_shapes
from packtrain.export.stream import SHARD_BYTES, write_file, write_shards
from packtrain.export.verify import Comparison, compare
from packtrain.model.config import ModelConfig
from packtrain.tokenizer.tokenizer import Tokenizer

Format = Literal["hf", "meta", "gguf", "native"]
Precision = Literal["fp32", "bf16", "fp16", "q8_0", "q4_0"]
PRECISIONS: dict[Format, tuple[Precision, ...]] = {
    "hf": ("fp32", "bf16", "fp16"),
    "meta": ("fp32", "bf16", "fp16"),
    "gguf": ("fp32", "fp16", "q8_0", "q4_0"),
    "native": ("fp32", "bf16", "fp16"),
}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
GGUF_TYPES: dict[Precision, gguf.GGUFType] = {"fp32": "f32", "fp16": "f16", "q8_0": "q8_0", "q4_0": "q4_0"}
FP16_LARGEST = 65504.0


def check_precision(format: Format, precision: Precision) -> None:
    if precision not in PRECISIONS[format]:
        raise UserError(f"precision={precision}: format={format} takes {', '.join(PRECISIONS[format])}")


def write(
    folder: Path, ours: Tensors, config: ModelConfig, tokenizer: Tokenizer, format: Format, precision: Precision,
    shards: int = 1, name: str = "model", shard_bytes: int = SHARD_BYTES,
) -> None:  # fmt: skip
    """Fills `folder`. Memory: one tensor and what it is turned into."""
    check_precision(format, precision)
    if precision == "fp16":
        ours = Bounded(ours)
    if format == "gguf":
        path = folder / f"{name}-{GGUF_TYPES[precision]}.gguf"
        gguf.write_gguf(path, ours, config, tokenizer.path, GGUF_TYPES[precision], name)
        return
    if format in ("meta", "native"):
        if format == "meta":
            meta.write_meta(folder, ours, config, shards, DTYPES[precision])
        else:
            write_native(folder, ours, config, DTYPES[precision])
        (folder / "tokenizer.model").write_bytes(tokenizer.path.read_bytes())
        return
    names = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
    values = hf_config(config, names[precision], tokenizer.bos_id, tokenizer.eos_id)
    (folder / "config.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    ends = {"bos_token_id": tokenizer.bos_id, "eos_token_id": tokenizer.eos_id, "do_sample": False}
    (folder / "generation_config.json").write_text(json.dumps(ends, indent=1) + "\n", encoding="utf-8")
    write_tokenizer(tokenizer.path, folder, config.max_sequence_length)
    write_shards(folder, hf_shapes(config), AsHF(ours, config), DTYPES[precision], shard_bytes)


def write_native(folder: Path, ours: Tensors, config: ModelConfig, dtype: torch.dtype) -> None:
    """model.safetensors under our own (Meta's) names and params.json: the weights of any mesh in one file."""
    shapes = tensor_shapes(config)
    write_file(folder / "model.safetensors", shapes, ((name, ours[name]) for name in shapes), dtype)
    text = json.dumps(meta.params_json(config), indent=1) + "\n"
    (folder / "params.json").write_text(text, encoding="utf-8")


def verify(folder: Path, ours: Tensors, config: ModelConfig, format: Format, tokens: Tensor) -> Comparison:
    """Reads the export from its files and runs it beside its source."""
    if format == "hf":
        return compare(ours, open_hf(folder), config, tokens, "halves", hf_name)
    if format == "meta":
        return compare(ours, meta.read_meta_folder(folder, config.vocab_size)[0], config, tokens, "neighbours")
    if format == "native":
        return compare(ours, read_native(folder, config.vocab_size)[0], config, tokens, "neighbours")
    (path,) = folder.glob("*.gguf")
    return compare(ours, gguf.FromGGUF(path, config), config, tokens, "neighbours")


class Bounded(Mapping[str, Tensor]):
    """Refuses weights that fp16 cannot hold, rather than writing infinities."""

    def __init__(self, ours: Tensors) -> None:
        self.ours = ours

    def __getitem__(self, name: str) -> Tensor:
        tensor = self.ours[name]
        if float(tensor.abs().max()) > FP16_LARGEST:
            raise UserError(f"{name} holds numbers beyond fp16's largest, {FP16_LARGEST:g}: export with precision=fp32")
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self.ours)

    def __len__(self) -> int:
        return len(self.ours)
