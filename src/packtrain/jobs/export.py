"""a checkpoint → OUTPUT/: the model as Hugging Face, Meta, llama.cpp or packtrain read it, with its card, checked"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

import packtrain
from packtrain import __version__
from packtrain.checkpoint.directory import read_meta
from packtrain.checkpoint.weights import open_weights, weights_digest
from packtrain.data.publish import already_made, publish
from packtrain.errors import UserError
from packtrain.evaluation.tasks import result as results
from packtrain.export.card import model_card
from packtrain.export.chat import write_chat_template
from packtrain.export.shapes import Tensors, check_shapes, tensor_shapes
from packtrain.export.write import Format, Precision, check_precision, verify, write
from packtrain.jobs.opening import find_checkpoint, load_tokenizer, model_name
from packtrain.jobs.quantise import read_text
from packtrain.jobs.telling import say
from packtrain.model.config import ModelConfig
from packtrain.report.reading import read_run
from packtrain.settings import build
from packtrain.tokenizer.tokenizer import Tokenizer
from packtrain.training.versions import repository_commit

RECORD = "packtrain.json"
SPDX = re.compile(r"[A-Za-z0-9.+-]+(?: (?:AND|OR|WITH) [A-Za-z0-9.+-]+)*")


@dataclass(frozen=True)
class ExportJob:
    """`packtrain export`: `checkpoint` (a run folder or one checkpoint) in another program's format.

    shards: files of a Meta export, 1 to 8.  text: a file to compare source and export on, None: the documentation
    that comes with Python.  verify_tokens: how much of it.  licence: SPDX name of the weights' licence, for the card.
    """

    checkpoint: str
    format: Format = "hf"
    precision: Precision = "fp32"
    output: str | None = None
    shards: int = 1
    licence: str | None = None
    tokenizer: str | None = None
    text: str | None = None
    verify_tokens: int = 256
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_precision(self.format, self.precision)
        if self.licence is not None and not SPDX.fullmatch(self.licence):
            raise UserError(
                f"licence={self.licence!r}: expected a name of SPDX's list, e.g. Apache-2.0 or CC-BY-NC-4.0"
            )
        if self.verify_tokens < 1:
            raise UserError(f"verify_tokens={self.verify_tokens}: expected 1 or more")
        if self.shards != 1 and self.format != "meta":
            raise UserError(
                f"shards={self.shards}: only format=meta is cut into shards by hand; hf cuts at 5 GB itself"
            )


def run(job: ExportJob) -> None:
    """Writes the export, or says that it is made. It appears only when it was read back and found to be the model."""
    checkpoint = find_checkpoint(job.checkpoint, say)
    meta = read_meta(checkpoint)
    config = build(ModelConfig, meta["model"], "model")
    config.require_llama(f"format={job.format}")
    tokenizer = load_tokenizer(job.tokenizer, checkpoint, meta["tokenizer_fingerprint"])
    name = model_name(checkpoint)
    output = Path(job.output) if job.output else Path("exports") / f"{name}-{job.format}-{job.precision}"
    settings = {
        "weights": meta["files"], "format": job.format, "precision": job.precision, "shards": job.shards,
        "licence": job.licence,
    }  # fmt: skip
    if already_made(output, settings, recorded(output), job.overwrite, print):
        return
    ours = open_weights(checkpoint)
    check_shapes(ours.shapes, tensor_shapes(config), checkpoint)
    tokens = text_tokens(job, tokenizer, config)
    with publish(output) as folder:
        watched = Watched(ours, f"export {job.format} {job.precision}")
        write(folder, watched, config, tokenizer, job.format, job.precision, job.shards, name)
        watched.close()
        if job.format == "hf" and meta.get("chat"):
            write_chat_template(folder, meta["chat"])
        line = verify(folder, ours, config, job.format, tokens).check(job.precision)
        how = {
            "made from": f"{name}, {checkpoint.name}",
            "format": job.format,
            "precision": job.precision,
            "check": line,
        }
        around = about(checkpoint.parent.parent)
        card = model_card(name, config, meta, weights_digest(meta), around, how, versions(job.format), job.licence)
        (folder / "README.md").write_text(card, encoding="utf-8")
        (folder / RECORD).write_text(
            json.dumps({"settings": settings, "check": line}, indent=1) + "\n", encoding="utf-8"
        )
        size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{line}\n{output}: {size / 1e6:.1f} MB, {job.format} {job.precision}")


def recorded(output: Path) -> dict[str, Any] | None:
    """The settings that an export at `output` was made with, None where there is none."""
    try:
        return json.loads((output / RECORD).read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def text_tokens(job: ExportJob, tokenizer: Tokenizer, config: ModelConfig) -> Tensor:
    """BOS and the first tokens of the text to compare on, at most as many as the model takes: (T,)."""
    text = read_text(job.text)
    limit = min(job.verify_tokens, config.max_sequence_length)
    ids = [tokenizer.bos_id, *tokenizer.encode(text[: 20 * limit])][:limit]
    return torch.tensor(ids)


def about(run_dir: Path) -> dict[str, Any]:
    """What the run of a checkpoint recorded, its tasks among it; empty where the checkpoint lies alone."""
    if not (run_dir / "config.yaml").is_file():
        return {}
    return {**asdict(read_run(run_dir)), "tasks": results.read(run_dir / "tasks.json") or {}}


def versions(format: Format) -> dict[str, str]:
    """Of all that the bytes of an export depend on."""
    names = ("torch", "numpy", "safetensors", "sentencepiece", *(["gguf"] if format == "gguf" else []))
    found = {"packtrain": __version__, "python": platform.python_version()}
    found |= {name: importlib.metadata.version(name) for name in names}
    commit = repository_commit(Path(packtrain.__file__))
    return {**found, "packtrain's commit": commit} if commit else found


class Watched(Mapping[str, Tensor]):
    """The tensors, with a bar that moves with each one that is taken."""

    def __init__(self, tensors: Tensors, title: str) -> None:
        self.tensors = tensors
        self.bar = tqdm(total=len(tensors), desc=title, unit="tensor", delay=1, disable=None, leave=False)

    def __getitem__(self, name: str) -> Tensor:
        self.bar.update()
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def close(self) -> None:
        self.bar.close()
