"""what a user calls a model (run, checkpoint, quantised folder) → tokenizer, context, and a decoder when wanted"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packtrain.checkpoint.directory import read_meta, resolve
from packtrain.checkpoint.weights import open_weights, weights_digest
from packtrain.errors import UserError
from packtrain.export.shapes import check_shapes, tensor_shapes
from packtrain.inference.decoder import Decoder
from packtrain.inference.matrices import Precision
from packtrain.inference.store import DESCRIPTION, is_decoder, load_decoder
from packtrain.model.compute import pick_device
from packtrain.model.config import ModelConfig
from packtrain.report.reading import read_run
from packtrain.settings import build
from packtrain.tokenizer.template import ChatTemplate
from packtrain.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class Ready:
    """A model found and checked, not yet read. length: the context it was trained with. longest: what its positions are
    made for. sha256: of its weights. template: how it was taught to be asked, None where it was not."""

    decoder: Callable[[], Decoder]
    tokenizer: Tokenizer
    length: int
    longest: int
    sha256: str
    template: ChatTemplate | None = None


def open_model(
    given: str, precision: Precision | None, device: str, tokenizer: str | None, say: Callable[[str], None]
) -> Ready:
    """Raises `UserError` where there is no model, or the tokenizer is another's."""
    where = pick_device(device)
    folder = Path(given)
    if is_decoder(folder):
        return _quantised(folder, precision, str(where), tokenizer)
    path = find_checkpoint(given, say)
    meta = read_meta(path)
    codec = load_tokenizer(tokenizer, path, meta["tokenizer_fingerprint"])
    chosen: Precision = precision or "fp32"

    def decoder() -> Decoder:
        return read_decoder(path, meta, chosen, str(where))

    longest = meta["model"]["max_sequence_length"]
    length = trained_length(path) or longest
    return Ready(decoder, codec, length, longest, weights_digest(meta), template_of(meta))


def find_checkpoint(given: str, say: Callable[[str], None]) -> Path:
    """`resolve`, with a remedy for a folder that holds a model and is no run: quantised, or another program's."""
    folder = Path(given)
    if is_decoder(folder):
        raise UserError(f"{folder} is a quantised model; give the run or the checkpoint that it was made from")
    if folder.is_file():
        raise UserError(f"{folder} is a file; give the run or the checkpoint, which are folders, that it was made from")
    if any((folder / name).is_file() for name in ("config.json", "params.json")):
        raise UserError(
            f"{folder} is a model in another format: packtrain import source={folder} name=NAME makes a run of it"
        )
    return resolve(given, say=say)


def template_of(meta: Mapping[str, Any]) -> ChatTemplate | None:
    """The template that a checkpoint, or what was made of one, carries."""
    return build(ChatTemplate, meta["chat"], "chat") if meta.get("chat") else None


def read_decoder(checkpoint: Path, meta: Mapping[str, Any], precision: Precision, device: str) -> Decoder:
    """The weights, layer by layer, in `precision`. Raises `UserError` where they are another model's."""
    config = build(ModelConfig, meta["model"], "model")
    weights = open_weights(checkpoint)
    check_shapes(weights.shapes, tensor_shapes(config), checkpoint)
    return Decoder.read(weights, config, precision, device)


def _quantised(folder: Path, precision: Precision | None, device: str, tokenizer: str | None) -> Ready:
    decoder, values = load_decoder(folder, device)
    if precision not in (None, decoder.precision):
        raise UserError(
            f"{folder} is quantised to {decoder.precision}: leave precision= out, or quantise the checkpoint again"
        )
    codec = Tokenizer(tokenizer or folder / "tokenizer.model")
    if codec.fingerprint != values.get("tokenizer_fingerprint"):
        raise UserError(f"tokenizer {codec.path} is not the one of {folder}; leave tokenizer= out")
    digest = hashlib.sha256((folder / DESCRIPTION).read_bytes()).hexdigest()
    longest = decoder.config.max_sequence_length
    length = values.get("context") or longest
    return Ready(lambda: decoder, codec, length, longest, digest, template_of(values))


def trained_length(checkpoint: Path) -> int | None:
    """The sequence length that the checkpoint's run was trained with, where the run is still around it."""
    run_dir = checkpoint.parent.parent
    config = read_run(run_dir).config if (run_dir / "config.yaml").is_file() else {}
    return config.get("data", {}).get("sequence_length")


def model_name(checkpoint: Path) -> str:
    """What an export is called after: the checkpoint's run, also where it was named as `.`; else the folder itself."""
    path = Path(os.path.abspath(checkpoint))
    return (path.parent.parent.name if path.parent.name == "checkpoints" else "") or path.name


def load_tokenizer(given: str | None, checkpoint: Path, fingerprint: str) -> Tokenizer:
    """The tokenizer at `given`, or the one beside the checkpoint's run; refused where it is not the model's own."""
    path = Path(given) if given else checkpoint.parent.parent / "tokenizer.model"
    if not path.is_file():
        raise UserError(f"no tokenizer at {path}; give tokenizer=FILE, the one that the model was trained with")
    tokenizer = Tokenizer(path)
    if tokenizer.fingerprint != fingerprint:
        raise UserError(
            f"tokenizer {path} ({tokenizer.fingerprint[:12]}) is not the one that {checkpoint} was trained with "
            f"({fingerprint[:12]}); leave tokenizer= out to take the run's own"
        )
    return tokenizer
