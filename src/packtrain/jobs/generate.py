"""checkpoint + tokenizer + prompt → text on stdout, as it is drawn (→ output)"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from packtrain.checkpoint.directory import resolve
from packtrain.checkpoint.load import load_model
from packtrain.errors import UserError
from packtrain.inference.generation import GenerationConfig, generate
from packtrain.model.compute import DTYPES, Precision, pick_device
from packtrain.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class GenerateJob:
    """`packtrain generate`: continue `prompt` with the model of `checkpoint` (a run folder or one checkpoint).

    tokenizer: None takes the run's own.  context: tokens the model looks back on, None what it was trained on.
    output: a file that also gets prompt and continuation; one that is there is kept unless `overwrite`.
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
    if job.output and Path(job.output).exists() and not job.overwrite:
        raise UserError(f"{job.output} exists; give another output=, or overwrite=true")
    device = pick_device(job.device)
    path = resolve(job.checkpoint, say=_say)
    model, meta = load_model(path, DTYPES[job.precision], str(device))
    tokenizer = load_tokenizer(job.tokenizer, path, meta["tokenizer_fingerprint"])
    trained = meta.get("sequence_length") or model.config.max_sequence_length
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
        Path(job.output).parent.mkdir(parents=True, exist_ok=True)
        Path(job.output).write_text(text + "\n", encoding="utf-8")


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
