"""checkpoint + tokenizer + prompt → text on stdout, as it is drawn (→ output)"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packtrain.checkpoint.directory import read_meta, resolve
from packtrain.checkpoint.load import load_model
from packtrain.errors import UserError
from packtrain.inference.generation import GenerationConfig, generate
from packtrain.model.compute import DTYPES, Precision, pick_device
from packtrain.report.reading import read_run
from packtrain.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class GenerateJob:
    """`packtrain generate`: continue `prompt` with the model of `checkpoint` (a run folder or one checkpoint).

    tokenizer: None takes the run's own.  context: tokens the model looks back on, None what it was trained on.
    output: a file that also gets prompt and continuation, and beside it OUTPUT.json says what it was made from. A file
    that is there is kept unless `overwrite`; made from the same, it is done.
    """

    checkpoint: str
    prompt: str = ""
    max_new_tokens: int = 200
    temperature: float = 0.8
    top_p: float = 0.95
    top_k: int | None = None
    seed: int = 1
    context: int | None = None
    precision: Precision = "fp32"
    device: str = "auto"
    tokenizer: str | None = None
    output: str | None = None
    overwrite: bool = False


def run(job: GenerateJob) -> None:
    """Prints the prompt and its continuation. Notes go to stderr, so that stdout is the text alone."""
    device = pick_device(job.device)
    path = resolve(job.checkpoint, say=_say)
    source = made_from(job, read_meta(path))
    if job.output and Path(job.output).exists() and not job.overwrite:
        if not is_made_from(Path(job.output), source):
            raise UserError(f"{job.output} exists; give another output=, or overwrite=true")
        print(Path(job.output).read_text(encoding="utf-8"), end="")
        _say(f"{job.output} is done: same checkpoint, same settings (overwrite=true writes it again)")
        return
    model, meta = load_model(path, DTYPES[job.precision], str(device))
    tokenizer = load_tokenizer(job.tokenizer, path, meta["tokenizer_fingerprint"])
    trained = trained_length(path) or model.config.max_sequence_length
    config = GenerationConfig(
        job.max_new_tokens, job.temperature, job.top_p, job.top_k, job.seed, job.context or trained
    )
    text = job.prompt
    print(job.prompt, end="", flush=True)
    for piece in generate(model, tokenizer, job.prompt, config, _say):
        text += piece
        print(piece, end="", flush=True)
    print()
    if job.output:
        write(Path(job.output), text + "\n", source)


def write(output: Path, text: str, source: dict[str, Any]) -> None:
    """The text, and beside it what it was made from. The text comes last: where it is, its note is too."""
    output.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode("utf-8", errors="replace")
    note = {"made_from": source, "text_sha256": hashlib.sha256(content).hexdigest()}
    output.with_name(output.name + ".json").write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
    temporary = output.with_name(output.name + ".tmp")
    temporary.write_bytes(content)
    temporary.replace(output)


def made_from(job: GenerateJob, meta: dict[str, Any]) -> dict[str, Any]:
    """All that the text depends on."""
    apart = ("checkpoint", "device", "tokenizer", "output", "overwrite")
    settings = {key: value for key, value in dataclasses.asdict(job).items() if key not in apart}
    return {**settings, "model_sha256": meta["files"]["model.safetensors"]["sha256"]}


def is_made_from(output: Path, source: dict[str, Any]) -> bool:
    """Whether `output` is the text that was written for `source`, and nobody changed it since."""
    try:
        note = json.loads(output.with_name(output.name + ".json").read_text(encoding="utf-8"))
        untouched = note["text_sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
        return untouched and note["made_from"] == source
    except (OSError, ValueError, KeyError, TypeError):
        return False


def trained_length(checkpoint: Path) -> int | None:
    """The sequence length that the checkpoint's run was trained with, where the run is still around it."""
    run_dir = checkpoint.parent.parent
    config = read_run(run_dir).config if (run_dir / "config.yaml").is_file() else {}
    return config.get("data", {}).get("sequence_length")


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


def _say(line: str) -> None:
    print(line, file=sys.stderr)
