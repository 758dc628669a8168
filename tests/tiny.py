"""A pack of made-up tokens in milliseconds: what a test of training needs, without a tokenizer's minutes"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from packtrain.data.manifest import Domain, Manifest, file_sha256, save_manifest
from packtrain.data.shards import write_shards

VOCABULARY = 64


def tiny_pack(folder: Path, domains: dict[str, int] | None = None, vocab_size: int = VOCABULARY) -> Path:
    """Shards of about so many tokens per domain (1 / 8 of them held out): cyclic sequences that a model can learn."""
    parts = {}
    for number, (name, tokens) in enumerate((domains or {"a": 6000, "b": 3000}).items()):
        splits = {}
        for split, count in (("train", tokens), ("held_out", tokens // 8)):
            rng = np.random.default_rng([number, len(split)])
            documents = []
            while count > 0:
                length = int(rng.integers(20, 60))
                start, stride = rng.integers(3, vocab_size), number + 1
                ids = [1, *(3 + (start + stride * np.arange(length)) % (vocab_size - 3)).tolist(), 2]
                documents.append((ids, length))
                count -= length
            splits[split] = write_shards(folder / name / split, documents, vocab_size)
        parts[name] = Domain(**splits)
    (folder / "tokenizer.model").write_bytes(b"made up")
    fingerprint = file_sha256(folder / "tokenizer.model")
    save_manifest(folder, Manifest(1, vocab_size, fingerprint, {"made": "up"}, parts))
    return folder
