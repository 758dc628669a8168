"""what a fine-tuning begins with (a run, a checkpoint, a folder of Hugging Face's or Meta's) → its parts;  keep_base

LoRA's checkpoints hold adapters alone, so the frozen model is kept once in the run's folder, as base/: the files
of a checkpoint by hard links where the file system has them, anything else written tensor by tensor.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from packtrain.checkpoint.directory import MARKER, commit, read_meta
from packtrain.checkpoint.load import model_to_meta
from packtrain.checkpoint.weights import BASE, WEIGHTS, open_weights, weights_digest
from packtrain.errors import UserError
from packtrain.export.read import read_folder
from packtrain.export.shapes import tensor_shapes
from packtrain.export.stream import write_file
from packtrain.jobs.opening import find_checkpoint, trained_length
from packtrain.model.config import ModelConfig
from packtrain.settings import build
from packtrain.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class Base:
    """length: tokens that it was trained with. weights: each tensor read when it is asked for. checkpoint: None where
    it is another program's folder."""

    config: ModelConfig
    tokenizer: Tokenizer
    length: int
    weights: Callable[[], Mapping[str, Tensor]]
    checkpoint: Path | None


def open_base(given: str, tokenizer: str | None = None) -> Base:
    """Raises `UserError` where there is no model, or no tokenizer to write instructions with."""
    path = Path(given)
    foreign = not (path / MARKER).exists() and any((path / name).is_file() for name in ("config.json", "params.json"))
    if foreign:
        codec = Tokenizer(tokenizer) if tokenizer else None
        found = read_folder(path, codec.vocab_size if codec else None)
        file = codec.path if codec else found.tokenizer
        if file is None:
            raise UserError(f"init_from={given}: has no SentencePiece tokenizer.model; give tokenizer=FILE")
        tensors = found.tensors
        return _checked(Base(found.config, Tokenizer(file), found.config.max_sequence_length, lambda: tensors, None))
    checkpoint = find_checkpoint(given, print)
    meta = read_meta(checkpoint)
    config = build(ModelConfig, meta["model"], "model")
    weights = open_weights(checkpoint)
    places = [Path(tokenizer)] if tokenizer else [checkpoint.parent.parent / "tokenizer.model"]
    places += [] if tokenizer else [checkpoint.parent / "tokenizer.model"]  # of a run's base/
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise UserError(f"init_from={given}: no tokenizer at {places[0]}; give tokenizer=FILE")
    codec = Tokenizer(file)
    if codec.fingerprint != meta.get("tokenizer_fingerprint", codec.fingerprint):
        raise UserError(f"init_from={given}: was trained with another tokenizer than {codec.path}; give tokenizer=FILE")
    length = trained_length(checkpoint) or config.max_sequence_length
    return _checked(Base(config, codec, length, lambda: weights, checkpoint))


def _checked(base: Base) -> Base:
    if base.tokenizer.vocab_size != base.config.vocabulary:
        raise UserError(
            f"tokenizer {base.tokenizer.path} has {base.tokenizer.vocab_size} pieces, the model a vocabulary of "
            f"{base.config.vocabulary}: they do not belong together; give tokenizer=FILE"
        )
    return base


def base_folder(run_dir: Path) -> Path:
    return run_dir / BASE


def keep_base(base: Base, run_dir: Path) -> str:
    """The frozen model in the run's folder, written where it is not there yet; returns what names its weights."""
    target = base_folder(run_dir)
    if not (target / MARKER).exists():
        if base.checkpoint is not None and "lora" not in read_meta(base.checkpoint):
            _link(base.checkpoint, target)
        else:
            _write(base, target)
    return weights_digest(read_meta(target))


def _link(checkpoint: Path, target: Path) -> None:
    temporary = target.with_name(target.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for file in checkpoint.iterdir():
        try:
            os.link(file, temporary / file.name)
        except OSError:  # another file system
            shutil.copyfile(file, temporary / file.name)
    temporary.rename(target)


def _write(base: Base, target: Path) -> None:
    shapes, weights = tensor_shapes(base.config), base.weights()
    names = tqdm(shapes, desc="base", unit="tensor", delay=1, disable=None, leave=False)
    pairs = ((name, weights[name]) for name in names)
    meta: dict[str, Any] = {
        "model": model_to_meta(base.config), "step": 0, "tokens": 0, "data_fingerprint": "",
        "tokenizer_fingerprint": base.tokenizer.fingerprint,
    }  # fmt: skip
    commit(target, lambda folder: write_file(folder / WEIGHTS, shapes, pairs, torch.float32), meta)
