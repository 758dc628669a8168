"""Decoder ⇄ a folder: decoder.safetensors, and decoder.json that says of which shape and precision, and its checksum

What `packtrain quantise` writes: the matrices as they are used, so that nothing is quantised again at each start.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from packtrain.errors import Failure, UserError
from packtrain.inference.decoder import Decoder
from packtrain.inference.layer import Layer
from packtrain.inference.matrices import Int4, Int8, Matrix, Plain, Precision
from packtrain.model.config import ModelConfig
from packtrain.model.llama import Llama
from packtrain.settings import build

WEIGHTS, DESCRIPTION = "decoder.safetensors", "decoder.json"
VERSION = 2  # 1 had no checksum


class Damaged(Exception):
    """What is wrong with a file."""


def is_decoder(folder: Path) -> bool:
    return (folder / DESCRIPTION).is_file()


def save_decoder(decoder: Decoder, folder: Path, about: Mapping[str, Any]) -> None:
    """Writes both files into `folder`; `about` is kept beside the shape: what it was made from."""
    tensors = {name: tensor.contiguous() for name, tensor in decoder.state_dict().items()}
    try:
        save_file(tensors, folder / WEIGHTS)
    except SafetensorError as error:  # its name for a full disk
        raise Failure(f"{folder / WEIGHTS}: {error}; free some space, then run the same command again") from error
    values = {
        "version": VERSION, "precision": decoder.precision, "model": dataclasses.asdict(decoder.config),
        "file": _described(folder / WEIGHTS), **about,
    }  # fmt: skip
    (folder / DESCRIPTION).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def load_decoder(folder: Path, device: str = "cpu") -> tuple[Decoder, dict[str, Any]]:
    """The decoder and what decoder.json says. Raises `UserError` where the two files are of different models, `Failure`
    where the weights are damaged."""
    try:
        values = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        version, precision, recorded = values["version"], values["precision"], values.get("file", {})
        config = build(ModelConfig, values["model"], "model")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / DESCRIPTION}: cannot be read; make it again with packtrain quantise") from error
    if version != VERSION or precision not in get_args(Precision):
        raise UserError(f"{folder}: was written in another format ({version}, {precision}); quantise it again")
    try:
        _check_file(folder / WEIGHTS, recorded)
        # Copies: a file's tensors begin anywhere, and ATen's int8 kernel reads aligned memory or crashes the process.
        tensors = {name: tensor.clone() for name, tensor in load_file(folder / WEIGHTS, device=device).items()}
        _check_shapes(tensors, config, precision, folder)
        layers = [
            Layer(
                tensors[f"layers.{i}.attention_norm"],
                tensors[f"layers.{i}.ffn_norm"],
                *(_matrix(tensors, f"layers.{i}.{part}") for part in ("qkv", "wo", "w13", "w2")),
            )
            for i in range(config.n_layers)
        ]
        output = _matrix(tensors, "output")
        decoder = Decoder(
            config, precision, layers, tensors["embedding"], tensors["norm"], output, tensors.get("positions.weight")
        )
    except (OSError, SafetensorError, KeyError, Damaged) as error:
        reason = str(error).splitlines()[0]
        raise Failure(f"{folder / WEIGHTS}: is damaged or incomplete ({reason}); quantise the model again") from error
    return decoder.eval(), values


def _described(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        return {"bytes": file.stat().st_size, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}


def _check_file(file: Path, recorded: Mapping[str, Any]) -> None:
    """Raises `Damaged` where it is not what was written."""
    size = file.stat().st_size
    if size != recorded.get("bytes"):
        raise Damaged(f"{size} bytes instead of {recorded.get('bytes')}")
    if _described(file) != recorded:
        raise Damaged("another checksum than when it was written")


def _check_shapes(found: Mapping[str, torch.Tensor], config: ModelConfig, precision: Precision, folder: Path) -> None:
    """Raises `UserError` where a tensor has another shape or is none of the model's, `KeyError` for a missing one."""
    with torch.device("meta"):
        expected = Decoder.of(Llama(config), precision).state_dict()
    odd = [name for name, tensor in expected.items() if found[name].shape != tensor.shape]
    if odd := [*odd, *sorted(set(found) - set(expected))]:
        raise UserError(
            f"{folder}: {odd[0]} of {WEIGHTS} is not what {DESCRIPTION} describes: the two files are of different "
            "models; quantise the model again"
        )


def _matrix(tensors: Mapping[str, torch.Tensor], name: str) -> Matrix:
    if f"{name}.weight" in tensors:
        return Plain(tensors[f"{name}.weight"])
    if f"{name}.scale" in tensors:
        return Int8(tensors[f"{name}.q"], tensors[f"{name}.scale"])
    return Int4(tensors[f"{name}.q"], tensors[f"{name}.scale_and_zero"])
