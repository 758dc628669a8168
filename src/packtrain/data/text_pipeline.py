"""data=text input=PATH → prepare → tokenizer → pack, once, in data/text-<hash>/ → its shards

The hash is over the files (names, sizes, times of change), the vocabulary size, the held-out share and the code:
changed files get a folder of their own, and a run that stopped finds the old one while they are as they were.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from packtrain.data.code_version import code_version
from packtrain.data.config import DataConfig
from packtrain.data.domains.text import NAME, text_files
from packtrain.data.origin import digest, name_of
from packtrain.data.pack import pack
from packtrain.data.prepare import prepare
from packtrain.data.vocabulary import make_tokenizer
from packtrain.errors import UserError

DEFAULT_VOCABULARY = 4096
CODE = ("packtrain.data.stage", "packtrain.data.domains.text")  # what makes other documents is other data


def ensure_text_shards(config: DataConfig, root: Path = Path("data"), say: Callable[[str], None] = print) -> Path:
    """The shards of `config.input`, made where they are not there yet.

    Raises `UserError`: input missing or empty, or too short for the vocabulary (with the largest that works).
    """
    if not config.input:
        raise UserError("data=text needs input=PATH, a file or a folder of .txt, .md, .jsonl or .jsonl.zst files")
    source = config.input if "://" in config.input else Path(config.input)
    vocab_size = config.vocab_size or DEFAULT_VOCABULARY
    origin = digest((path, name_of(path, source)) for path in text_files(source))
    place = source if isinstance(source, str) else str(source.resolve())
    key = json.dumps([place, origin, vocab_size, config.held_out, code_version(*CODE)])
    folder = root / f"text-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    shards = folder / "shards"
    prepare(NAME, source, folder / "documents", config.held_out, say=say)
    try:
        make_tokenizer([folder / "documents"], folder / "tokenizer.model", vocab_size, config.held_out, say=say)
    except UserError as error:
        prefix = "data." if str(error).startswith("vocab_size=") else ""
        raise UserError(f"{prefix}{error}") from None
    pack([folder / "documents"], folder / "tokenizer.model", shards, config.held_out, say=say)
    return shards
