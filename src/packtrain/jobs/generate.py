"""model + prompt → text on stdout as it is drawn (→ output);  a file of prompts → JSON lines"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from packtrain.errors import UserError
from packtrain.inference.decoder import Decoder
from packtrain.inference.generation import Codec, complete, context_limit
from packtrain.inference.matrices import Precision
from packtrain.inference.prompts import done_lines, read_prompts
from packtrain.inference.settings import GenerationConfig
from packtrain.jobs.generate_talk import chat_of, converse, one
from packtrain.jobs.opening import Ready, open_model
from packtrain.jobs.telling import say
from packtrain.model.engine import compile_unavailable


@dataclass(frozen=True)
class GenerateJob:
    """`packtrain generate`: continue `prompt` with the model of `checkpoint`.

    checkpoint: a run folder, one checkpoint, or a folder that `packtrain quantise` wrote.  prompts: a file of prompts
    instead of one; the results are JSON lines, in `output` or on stdout, `batch_size` drawn side by side.
    interactive: ask for prompts until the input ends.  tokenizer: None takes the model's own.  context: tokens the
    model looks back on, None what it was trained on.  precision: None takes fp32, or what was quantised.
    chat: the prompt is a user's turn, put into the template that the model was fine-tuned with, and the answer alone is
    printed; interactively each turn sees those before it.  system: the turn before the first, of chat.
    compile: the decoding step as one compiled graph, on CUDA a CUDA graph.
    output: a file that also gets prompt and continuation, and beside it OUTPUT.json says what it was made from. A file
    that is there is kept unless `overwrite`; made from the same, it is done.
    """

    checkpoint: str
    prompt: str = ""
    prompts: str | None = None
    interactive: bool = False
    max_new_tokens: int = 200
    temperature: float = 0.8
    top_p: float = 0.95
    top_k: int | None = None
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    chat: bool = False
    system: str | None = None
    seed: int = 1
    context: int | None = None
    batch_size: int = 8
    precision: Precision | None = None
    compile: bool = False
    device: str = "auto"
    tokenizer: str | None = None
    output: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UserError(f"batch_size={self.batch_size}: expected 1 or more")
        if self.system is not None and not self.chat:
            raise UserError("system= is a turn of a conversation: give chat=true with it")
        if self.chat and not (self.prompt or self.prompts or self.interactive):
            raise UserError("chat=true answers: give prompt=, prompts=FILE or interactive=true")
        if self.prompts and (self.prompt or self.interactive):
            raise UserError("prompts=FILE goes with neither prompt= nor interactive=true; give one of them")
        if self.interactive and (self.prompt or self.output):
            raise UserError(
                "interactive=true asks for its prompts and answers on the screen: leave prompt=, output= out"
            )


def run(job: GenerateJob) -> None:
    """Prints the prompt and its continuation. Notes go to stderr, so that stdout is the text alone."""
    ready = open_model(job.checkpoint, job.precision, job.device, job.tokenizer, say)
    codec = chat_of(ready, job.checkpoint, job.system) if job.chat else ready.tokenizer
    if job.prompts:
        many(job, ready, codec)
        return
    source = made_from(job, ready.sha256)
    if job.output:
        note_of(Path(job.output))
    if job.output and Path(job.output).exists() and not job.overwrite:
        if not is_made_from(Path(job.output), source):
            raise UserError(f"{job.output} exists; give another output=, or overwrite=true")
        print(Path(job.output).read_text(encoding="utf-8"), end="")
        say(f"{job.output} is done: same checkpoint, same settings (overwrite=true writes it again)")
        return
    decoder, config = decoder_of(job, ready), settings_of(job, ready.length)
    if job.interactive:
        converse(decoder, codec, config)
        return
    text = one(decoder, codec, job.prompt, config)
    if job.output:
        write(Path(job.output), text + "\n", source)


def many(job: GenerateJob, ready: Ready, codec: Codec) -> None:
    """A file of prompts in, JSON lines out. An output that was cut short by a kill is continued."""
    prompts = read_prompts(Path(job.prompts or ""))
    config = settings_of(job, ready.length)
    source = made_from(job, ready.sha256) | {"prompts_sha256": hashlib.sha256(json.dumps(prompts).encode()).hexdigest()}
    done = 0
    if job.output:
        if Path(job.output).resolve() == Path(job.prompts or "").resolve():
            raise UserError(f"output={job.output} is the file of prompts itself; give another output=")
        note_of(Path(job.output))
        done = held(Path(job.output), source, job.overwrite)
        if done >= len(prompts):
            say(f"{job.output} is done: {done} prompts (overwrite=true writes it again)")
            return
        if done:
            say(f"{job.output} holds {done} of {len(prompts)} prompts: going on")
    decoder = decoder_of(job, ready)
    context_limit(decoder, config)  # before anything is written
    if job.output and not done:
        begin(Path(job.output), source)
    with open(job.output, "a", encoding="utf-8") if job.output else nullcontext(sys.stdout) as out:
        starts = range(done, len(prompts), job.batch_size)
        for start in tqdm(starts, desc="generate", unit="batch", delay=1, disable=None, leave=False):
            batch = prompts[start : start + job.batch_size]
            texts = complete(decoder, codec, batch, config, say, first=start)
            texts = [text.strip() for text in texts] if job.chat else texts
            for number, (prompt, text) in enumerate(zip(batch, texts, strict=True), start):
                values = {"index": number, "prompt": prompt, "completion": text}
                out.write(json.dumps(values, ensure_ascii=False).encode("utf-8", "replace").decode() + "\n")
            out.flush()


def decoder_of(job: GenerateJob, ready: Ready) -> Decoder:
    """The model, its step compiled where that is asked for. Raises `UserError` where nothing can compile."""
    decoder = ready.decoder()
    if job.compile:
        if (reason := compile_unavailable(decoder.device)) is not None:
            raise UserError(f"compile=true {reason}, or give compile=false")
        decoder.compile_step()
    return decoder


def held(output: Path, source: dict[str, Any], overwrite: bool) -> int:
    """How many results `output` holds, made from the same. Raises `UserError` where it holds others, to be kept."""
    if not output.exists() or overwrite or output.stat().st_size == 0:
        return 0
    try:
        note = json.loads(note_of(output).read_text(encoding="utf-8"))
        same = note["made_from"] == json.loads(json.dumps(source))
    except (OSError, ValueError, KeyError, TypeError):
        same = False
    if not same:
        raise UserError(f"{output} exists; give another output=, or overwrite=true")
    return done_lines(output)


def begin(output: Path, source: dict[str, Any]) -> None:
    """An empty `output`, and beside it what its lines will be made from."""
    note = note_of(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(b"")
    note.write_text(json.dumps({"made_from": source}, indent=1) + "\n", encoding="utf-8")


def note_of(output: Path) -> Path:
    """OUTPUT.json, which says what `output` was made from. Raises `UserError` where that is a file of another's."""
    if output.is_dir():
        raise UserError(f"output={output} is a folder; give a file in it")
    note = output.with_name(output.name + ".json")
    try:
        ours = "made_from" in json.loads(note.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        ours = True
    except (OSError, ValueError, TypeError):
        ours = False
    if not ours:
        raise UserError(f"{note} exists, and is where the note about {output} would lie; give another output=")
    return note


def settings_of(job: GenerateJob, trained: int) -> GenerationConfig:
    context = trained if job.context is None else job.context
    return GenerationConfig(
        job.max_new_tokens, job.temperature, job.top_p, job.top_k, job.seed, context, job.repetition_penalty, job.stop
    )  # fmt: skip


def write(output: Path, text: str, source: dict[str, Any]) -> None:
    """The text, and beside it what it was made from. The text comes last: where it is, its note is too."""
    path = note_of(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode("utf-8", errors="replace")
    note = {"made_from": source, "text_sha256": hashlib.sha256(content).hexdigest()}
    path.write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
    temporary = output.with_name(output.name + ".tmp")
    temporary.write_bytes(content)
    temporary.replace(output)


def made_from(job: GenerateJob, sha256: str) -> dict[str, Any]:
    """All that the text depends on."""
    apart = ("checkpoint", "device", "tokenizer", "output", "overwrite", "batch_size", "prompts", "interactive")
    settings = {key: value for key, value in dataclasses.asdict(job).items() if key not in apart}
    return json.loads(json.dumps({**settings, "model_sha256": sha256}))  # lists, as it will be read back


def is_made_from(output: Path, source: dict[str, Any]) -> bool:
    """Whether `output` is the text that was written for `source`, and nobody changed it since."""
    try:
        note = json.loads(output.with_name(output.name + ".json").read_text(encoding="utf-8"))
        untouched = note["text_sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
        return untouched and note["made_from"] == source
    except (OSError, ValueError, KeyError, TypeError):
        return False
