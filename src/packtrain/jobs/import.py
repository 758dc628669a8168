"""a folder of Hugging Face's or Meta's → runs/NAME with one checkpoint, ready for generate, evaluate and export"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import yaml
from tqdm import tqdm

from packtrain.checkpoint.directory import checkpoint_path, commit, committed
from packtrain.checkpoint.load import WEIGHTS, model_to_meta
from packtrain.data.publish import publish
from packtrain.errors import UserError
from packtrain.export.read import Found, read_folder
from packtrain.export.shapes import tensor_shapes
from packtrain.export.stream import write_file
from packtrain.report.reading import read_run
from packtrain.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class ImportJob:
    """`packtrain import`: the LLaMA in the folder `source` becomes runs_dir/name.

    tokenizer: a SentencePiece model, None takes tokenizer.model in `source` or beside it.
    overwrite: replaces an earlier import of this name, never a run that was trained or anything else.
    """

    source: str
    name: str | None = None
    runs_dir: str = "runs"
    tokenizer: str | None = None
    overwrite: bool = False


def run(job: ImportJob) -> None:
    """Writes the run folder, whole or not at all. Weights of any precision become fp32."""
    source = Path(job.source)
    name = job.name or source.resolve().name
    if Path(name).name != name or name in (".", ".."):
        raise UserError(f"name={name}: expected a name, not a path")
    target = Path(job.runs_dir) / name
    refuse_to_replace(target, job.overwrite)
    given = Tokenizer(job.tokenizer) if job.tokenizer else None
    found = read_folder(source, given.vocab_size if given else None)
    tokenizer = given or (Tokenizer(found.tokenizer) if found.tokenizer else None)
    for note in found.notes if given is None else found.notes[1 if found.tokenizer is None else 0 :]:
        print(note)
    if tokenizer and tokenizer.vocab_size > found.config.vocabulary:
        raise UserError(
            f"tokenizer {tokenizer.path} has {tokenizer.vocab_size} pieces, the model a vocabulary of "
            f"{found.config.vocabulary}: they do not belong together; give tokenizer=FILE"
        )
    with publish(target) as folder:
        _write(folder, found, tokenizer, name, source)
    print(f"{target}: imported {name}; continue with: packtrain generate checkpoint={target}")


def refuse_to_replace(target: Path, overwrite: bool) -> None:
    """Raises `UserError` where something is there, unless it is an import that nobody trained on and `overwrite`."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not is_import(target):
        raise UserError(f"{target} exists and is more than an import, so it is never replaced; give another name=")
    if not overwrite:
        raise UserError(f"{target} exists; give another name=, or overwrite=true")


def is_import(folder: Path) -> bool:
    """A folder that this command wrote and in which no step was trained since."""
    if not (folder / "config.yaml").is_file() or "imported_from" not in read_run(folder).config:
        return False
    return not (folder / "metrics.csv").exists() and committed(folder)[1:] == []


def _write(folder: Path, found: Found, tokenizer: Tokenizer | None, name: str, source: Path) -> None:
    config = replace(found.config, name=name)
    shapes = tensor_shapes(config)
    fingerprint = tokenizer.fingerprint if tokenizer else ""
    if tokenizer:
        shutil.copyfile(tokenizer.path, folder / "tokenizer.model")
    values = {
        "name": name,
        "imported_from": str(source),
        "model": model_to_meta(config),
        "data": {"sequence_length": config.max_sequence_length},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    meta = {
        "model": model_to_meta(config), "step": 0, "tokens": 0, "data_fingerprint": "",
        "tokenizer_fingerprint": fingerprint, "imported_from": str(source),
    }  # fmt: skip
    names = tqdm(shapes, desc=f"import {name}", unit="tensor", delay=1, disable=None, leave=False)
    pairs = ((tensor, found.tensors[tensor]) for tensor in names)
    commit(checkpoint_path(folder, 0), lambda where: write_file(where / WEIGHTS, shapes, pairs, torch.float32), meta)
