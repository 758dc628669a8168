"""checkpoint → OUTPUT/ (decoder.safetensors, tokenizer) in int8 or int4, beside its perplexity and the checkpoint's"""

from __future__ import annotations

import json
import pydoc_data.topics
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from packtrain.checkpoint.directory import read_meta
from packtrain.data.publish import already_made, publish
from packtrain.errors import UserError
from packtrain.inference.matrices import Precision
from packtrain.inference.quality import perplexity
from packtrain.inference.store import DESCRIPTION, load_decoder, save_decoder
from packtrain.jobs.opening import find_checkpoint, load_tokenizer, model_name, read_decoder, trained_length
from packtrain.jobs.telling import say
from packtrain.model.compute import pick_device
from packtrain.model.config import parameter_count


@dataclass(frozen=True)
class QuantiseJob:
    """`packtrain quantise`: the model of `checkpoint` in `precision`, for `packtrain generate checkpoint=OUTPUT`."""

    checkpoint: str
    precision: Precision = "int8"
    output: str | None = None
    text: str | None = None
    text_tokens: int = 4096
    device: str = "auto"
    tokenizer: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.precision == "fp32":
            raise UserError("precision=fp32 is what a checkpoint holds already; give int8, int4 or bf16")
        if self.text_tokens < 2:
            raise UserError(f"text_tokens={self.text_tokens}: expected 2 or more")


def run(job: QuantiseJob) -> None:
    """Writes the folder, reads it back, and prints both perplexities."""
    device = str(pick_device(job.device))
    path = find_checkpoint(job.checkpoint, say)
    meta = read_meta(path)
    codec = load_tokenizer(job.tokenizer, path, meta["tokenizer_fingerprint"])
    output = Path(job.output) if job.output else Path("exports") / f"{model_name(path)}-{job.precision}"
    settings = {"weights": meta["files"], "precision": job.precision, "text": job.text, "text_tokens": job.text_tokens}
    if already_made(output, settings, recorded(output), job.overwrite, print):
        return
    ids = [codec.bos_id, *codec.encode(read_text(job.text))][: job.text_tokens]
    tokens = torch.tensor(ids)
    length = trained_length(path) or meta["model"]["max_sequence_length"]
    original = read_decoder(path, meta, "fp32", device)
    before, fp32 = perplexity(original, tokens, length), 4 * parameter_count(original.config)
    del original
    about: dict[str, Any] = {
        "made_from": str(path), "settings": settings, "tokenizer_fingerprint": codec.fingerprint, "context": length,
    }  # fmt: skip
    if meta.get("chat"):
        about["chat"] = meta["chat"]
    with publish(output) as folder:
        save_decoder(read_decoder(path, meta, job.precision, device), folder, about)
        shutil.copyfile(codec.path, folder / "tokenizer.model")
        again, _ = load_decoder(folder, device)
        after = perplexity(again, tokens, length)
        size = (folder / "decoder.safetensors").stat().st_size
    print(
        f"{output}: {size / 1e6:.1f} MB in {job.precision}, {fp32 / size:.1f} times smaller than fp32; perplexity on "
        f"{len(ids)} tokens of text {before:.3f} → {after:.3f} ({100 * (after / before - 1):+.2f} %)"
    )


def recorded(output: Path) -> dict[str, Any] | None:
    """The settings that `output` was made with, None where nothing of ours is there."""
    try:
        return json.loads((output / DESCRIPTION).read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_text(given: str | None) -> str:
    """The text to measure on: a file, or the documentation that comes with Python."""
    if given is None:
        return "\n".join(pydoc_data.topics.topics.values())
    try:
        text = Path(given).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"text={given}: cannot be read as UTF-8; give another file, or none") from error
    if not text.strip():
        raise UserError(f"text={given}: is empty, nothing can be measured on it; give another file, or none")
    return text
