"""instructions + tokenizer + template → data/instructions-<hash>/: a pack like any other, whose rows are whole

    conversations → ids, prompts as ~id → cut or dropped → split by the hash of what is asked
      train      best-fit rows of exactly T tokens, padding as ~EOS: block i of the pack is row i
      held_out   one example per document

The hash is over all that makes the bytes, so that a command finds its rows again and other settings get others.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from packtrain.data.instructions.config import InstructionConfig
from packtrain.data.instructions.packing import best_fit
from packtrain.data.instructions.read import Instructions, read_instructions
from packtrain.data.manifest import MANIFEST, TOKENIZER, VERSION, Domain, Manifest, load_manifest, save_manifest
from packtrain.data.masked import RESPONSE
from packtrain.data.publish import publish
from packtrain.data.shards import SIGNED, write_shards
from packtrain.errors import UserError
from packtrain.tokenizer.template import ChatTemplate, Turn
from packtrain.tokenizer.tokenizer import Tokenizer

DOMAIN = "instructions"
FORMAT = 1  # of the rows: other code that makes other rows has another number
Ids = list[int]


@dataclass(frozen=True)
class Encoded:
    """Examples as ids and ~ids, at most as long as a row. cut, dropped: how many were too long for it."""

    examples: list[Ids]
    asked: list[str]  # what each is split by
    cut: int
    dropped: int


def ensure_instruction_shards(
    config: InstructionConfig, tokenizer: Tokenizer, template: ChatTemplate, length: int,
    root: Path = Path("data"), say: Callable[[str], None] = print,
) -> Path:  # fmt: skip
    """The pack, made where it is not there yet; says in a line what is in it. Raises `UserError` for bad input."""
    found = read_instructions(config, template)
    settings: dict[str, Any] = {
        **RESPONSE, "sha256": found.sha256, "format": found.format, "template": asdict(template), "rows": FORMAT,
        "sequence_length": length, "tokenizer": tokenizer.fingerprint,
        **{name: getattr(config, name) for name in ("held_out", "too_long", "bad_rows", "pack")},
    }  # fmt: skip
    name = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    folder = root / f"instructions-{name}"
    while int(os.environ.get("RANK", "0")) and not (folder / MANIFEST).is_file():
        time.sleep(0.2)  # rank 0 makes it; where it fails, the launcher ends all
    if not (folder / MANIFEST).is_file():
        with publish(folder) as building:
            _write(building, found, tokenizer, template, config, length, settings)
    say(f"{folder}: {describe(load_manifest(folder).settings)}")
    return folder


def describe(settings: dict[str, Any]) -> str:
    """`19 examples in 3 rows of 512 (96 % full), 1 held out; 2 longer than a row cut; 1 bad row left out: …`."""
    made = settings["made"]
    full = f"{100 * made['tokens'] / (made['rows'] * settings['sequence_length']):.0f} % full"
    rows = "row" if made["rows"] == 1 else "rows"
    line = f"{made['train']} examples in {made['rows']} {rows} of {settings['sequence_length']} ({full}), "
    line += f"{made['held_out']} held out, format {settings['format']}"
    line += f"; {made['cut']} longer than a row cut" if made["cut"] else ""
    line += f"; {made['dropped']} longer than a row left out" if made["dropped"] else ""
    return line + (f"; {made['bad']} bad rows left out, the first: {made['first_bad']}" if made["bad"] else "")


def _write(
    folder: Path, found: Instructions, tokenizer: Tokenizer, template: ChatTemplate, config: InstructionConfig,
    length: int, settings: dict[str, Any],
) -> None:  # fmt: skip
    encoded = encode(found.conversations, tokenizer, template, length, config.too_long)
    train, held_out = split(encoded, config.held_out)
    rows = best_fit([len(e) for e in train], length) if config.pack else [[n] for n in range(len(train))]

    def documents() -> Iterator[tuple[Ids, int]]:
        for place, row in enumerate(rows):
            room = length - sum(len(train[number]) for number in row)
            padding = [~tokenizer.eos_id] * (room + (place == len(rows) - 1))  # one behind the last: its last target
            for at, number in enumerate(row):
                yield train[number] + (padding if at == len(row) - 1 else []), written_bytes(train[number], tokenizer)

    splits = {
        "train": write_shards(folder / DOMAIN / "train", documents(), SIGNED),
        "held_out": write_shards(
            folder / DOMAIN / "held_out", ((e, written_bytes(e, tokenizer)) for e in held_out), SIGNED
        ),
    }
    made = {
        "train": len(train), "held_out": len(held_out), "rows": len(rows), "tokens": sum(map(len, train)),
        "cut": encoded.cut, "dropped": encoded.dropped, "bad": len(found.bad),
        "held_out_targets": sum(token >= 0 for example in held_out for token in example),
        "first_bad": next(iter(found.bad), ""),
    }  # fmt: skip
    shutil.copyfile(tokenizer.path, folder / TOKENIZER)
    manifest = Manifest(
        VERSION, tokenizer.vocab_size, tokenizer.fingerprint, {**settings, "made": made}, {DOMAIN: Domain(**splits)}
    )
    save_manifest(folder, manifest)


def encode(
    conversations: Sequence[list[Turn]], tokenizer: Tokenizer, template: ChatTemplate, length: int, too_long: str
) -> Encoded:
    """Every conversation as ids. One that has no token to learn left after its cut is dropped."""
    examples: list[Ids] = []
    asked: list[str] = []
    cut = dropped = 0
    for turns in tqdm(conversations, desc="encode", unit="example", delay=1, disable=None, leave=False):
        tokens = template.encode(tokenizer, turns)
        if len(tokens) > length:
            tokens = tokens[:length]
            if too_long == "drop" or max(tokens) < 0:
                dropped += 1
                continue
            cut += 1
        examples.append(tokens)
        asked.append(next(content for role, content in turns if role == "user"))
    if not examples:
        longer = f"longer than data.sequence_length={length}"
        if too_long == "cut":
            raise UserError(f"what is asked is {longer} in every one of {len(conversations)} examples: raise it")
        raise UserError(f"every one of {len(conversations)} examples is {longer}: raise it, or give data.too_long=cut")
    return Encoded(examples, asked, cut, dropped)


def split(encoded: Encoded, held_out: float) -> tuple[list[Ids], list[Ids]]:
    """Training and held-out examples; those that ask the same stand on one side. At least one of each where two differ
    and a share is held out."""
    groups: dict[str, list[int]] = {}
    for number, text in enumerate(encoded.asked):
        groups.setdefault(hashlib.sha256(text.encode("utf-8", "replace")).hexdigest(), []).append(number)
    wanted = max(1, math.floor(held_out * len(encoded.examples))) if held_out else 0
    held: set[int] = set()
    for key in sorted(groups):
        if len(held) >= wanted or len(held) + len(groups[key]) >= len(encoded.examples):
            break
        held.update(groups[key])
    sides: tuple[list[Ids], list[Ids]] = ([], [])
    for number, example in enumerate(encoded.examples):
        sides[number in held].append(example)
    return sides


def written(example: Sequence[int], tokenizer: Tokenizer) -> str:
    """The text that the model is to write: that of the ids which count."""
    return tokenizer.decode(token for token in example if token >= 0)


def written_bytes(example: Sequence[int], tokenizer: Tokenizer) -> int:
    return len(written(example, tokenizer).encode("utf-8", "replace"))
