"""A pack of learnable documents, and one of noise that is read for the first time at a known step"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from packtrain.data.manifest import Domain, Manifest, file_sha256, save_manifest
from packtrain.data.mixture import Mixture
from packtrain.data.origins import Provenance
from packtrain.data.shards import open_blocks, write_shards

STEP = 25  # as metrics.csv counts
LENGTH, SEQUENCES = 32, 8
DOMAINS = ("calm", "odd")


def planted_pack(folder: Path, seed: int = 1) -> int:
    """Writes the pack; returns the number of the noisy document in domain `odd`. Runs: 8 sequences of 32 a step."""
    documents = {name: [_cycle(rng, place + 1) for _ in range(150)] for place, (name, rng) in enumerate(
        (name, np.random.default_rng(n)) for n, name in enumerate(DOMAINS))}  # fmt: skip
    _write(folder, documents)
    blocks = {name: len(open_blocks(folder, name, LENGTH)) for name in DOMAINS}
    weights = {name: float(sum(map(len, found))) for name, found in documents.items()}
    provenance = Provenance(folder, Mixture(weights, blocks, seed), LENGTH)
    read = provenance.of(range((STEP - 1) * SEQUENCES, STEP * SEQUENCES))
    seen = {(o.domain, d.number) for o in provenance.of(range((STEP - 1) * SEQUENCES)) for d in o.documents}
    number = next(
        max(o.documents, key=lambda d: d.tokens).number
        for o in read
        if o.domain == "odd" and not {("odd", d.number) for d in o.documents} & seen
    )
    noise = np.random.default_rng(99).integers(3, 64, len(documents["odd"][number]) - 2)
    documents["odd"][number] = [1, *noise.tolist(), 2]
    _write(folder, documents)
    return number


def _cycle(rng: np.random.Generator, stride: int) -> list[int]:
    return [1, *(3 + (rng.integers(61) + stride * np.arange(38)) % 61).tolist(), 2]


def _write(folder: Path, documents: dict[str, list[list[int]]]) -> None:
    domains = {}
    for name, found in documents.items():
        for split in ("train", "held_out"):
            for old in (folder / name / split).glob("*"):
                old.unlink()
        splits = {
            split: write_shards(folder / name / split, [(ids, len(ids)) for ids in part], 64)
            for split, part in (("train", found), ("held_out", found[:4]))
        }
        domains[name] = Domain(**splits)
    (folder / "tokenizer.model").write_bytes(b"made up")
    save_manifest(folder, Manifest(1, 64, file_sha256(folder / "tokenizer.model"), {"made": "up"}, domains))
