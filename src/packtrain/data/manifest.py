"""what was packed → manifest.json, written last: without it a directory is no pack. Free of torch.

DIR/manifest.json  DIR/tokenizer.model  DIR/<domain>/{train,held_out}/{index.json, chunk-0-*.bin}
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from packtrain.errors import Failure, UserError, did_you_mean
from packtrain.settings import build

MANIFEST = "manifest.json"
TOKENIZER = "tokenizer.model"
VERSION = 1
SPLITS = ("train", "held_out")
AT_ONCE_FILES = 10_000  # of more files the sizes are compared beside the start of a run


@dataclass(frozen=True)
class FileRecord:
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Split:
    """One split of one domain. `tokens` includes BOS and EOS of each document; `bytes` is the UTF-8 text alone."""

    documents: int = 0
    tokens: int = 0
    bytes: int = 0
    files: dict[str, FileRecord] = field(default_factory=dict)  # path relative to the pack → size and checksum


@dataclass(frozen=True)
class Domain:
    train: Split
    held_out: Split


@dataclass(frozen=True)
class Manifest:
    """`settings` is what made the pack (inputs with their checksums, held_out …): equal settings, equal pack."""

    version: int
    vocab_size: int
    tokenizer_fingerprint: str
    settings: dict[str, Any]
    domains: dict[str, Domain]

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of the whole manifest, hence of every shard: what a checkpoint remembers of its data."""
        return hashlib.sha256(json.dumps(vars(self), sort_keys=True, default=vars).encode()).hexdigest()

    def domain(self, name: str) -> Domain:
        if name not in self.domains:
            raise UserError(f"the shards have no domain '{name}'{did_you_mean(name, self.domains)}")
        return self.domains[name]

    def check_tokenizer(self, fingerprint: str, what: str = "tokenizer") -> None:
        """Refuse token numbers that mean other pieces."""
        if fingerprint != self.tokenizer_fingerprint:
            raise UserError(
                f"{what} {fingerprint[:12]} does not match the shards, packed with {self.tokenizer_fingerprint[:12]}; "
                "use the tokenizer.model that lies beside them, or pack again"
            )

    def check_weights(self, weights: Mapping[str, float]) -> None:
        """Refuse a weight for a domain that was not packed (a weight of 0 is allowed: the domain is not read)."""
        for name, weight in weights.items():
            if weight > 0 and name not in self.domains:
                raise UserError(
                    f"the shards have no domain '{name}'{did_you_mean(name, self.domains)}. Pack documents of it too "
                    f"(packtrain prepare domain={name}), or train without: data.weights.{name}=0"
                )


def file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def save_manifest(directory: Path, manifest: Manifest) -> None:
    (directory / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def load_manifest(directory: str | Path) -> Manifest:
    """The manifest of a pack. Raises `UserError` where there is none, `Failure` where it is damaged."""
    path = Path(directory) / MANIFEST
    if not path.is_file():
        raise UserError(f"{directory}: no packed shards here (no {MANIFEST}); make them with: packtrain pack")
    found = path.stat()
    return _read_manifest(path, (found.st_mtime_ns, found.st_size, found.st_ino))


@lru_cache(maxsize=8)  # a corpus of terabytes has megabytes of manifest, and each domain asks for it
def _read_manifest(path: Path, _: tuple[int, int, int]) -> Manifest:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        files = {
            (name, s): _records(domain[s].pop("files")) for name, domain in values["domains"].items() for s in SPLITS
        }
        manifest = build(Manifest, values)
    except (ValueError, UserError, AttributeError, KeyError, TypeError) as error:
        raise Failure(f"{path}: damaged ({str(error).splitlines()[0]}); pack again with overwrite=true") from None
    if manifest.version != VERSION:
        raise UserError(f"{path}: format version {manifest.version}, this packtrain reads {VERSION}; pack again")
    whole = {
        name: Domain(*(replace(getattr(domain, s), files=files[name, s]) for s in SPLITS))
        for name, domain in manifest.domains.items()
    }
    return replace(manifest, domains=whole)


def _records(values: Mapping[str, Mapping[str, Any]]) -> dict[str, FileRecord]:
    """By hand: `build` says more of a mistake, and takes half a minute for the 100 000 shards of a large corpus."""
    found = {name: FileRecord(record["bytes"], record["sha256"]) for name, record in values.items()}
    if not all(type(record.bytes) is int and type(record.sha256) is str for record in found.values()):
        raise TypeError("a file's size is no integer, or its sha256 no text")
    return found


def verify(directory: str | Path, checksums: bool = False, progress: Callable[[Path], None] | None = None) -> Manifest:
    """Every file is there with its size, and with `checksums` its sha256. Raises `Failure`, naming the file."""
    manifest = load_manifest(directory)
    for domain in manifest.domains.values():
        for split in (domain.train, domain.held_out):
            for relative, record in split.files.items():
                path = Path(directory) / relative
                check_file(path, record, checksums)
                if progress:
                    progress(path)
    return manifest


def check_own_tokenizer(directory: str | Path, manifest: Manifest) -> None:
    """The pack's tokenizer.model is there and is the one that its shards were packed with."""
    tokenizer = Path(directory) / TOKENIZER
    if not tokenizer.is_file():
        raise Failure(f"{tokenizer}: missing; pack again with overwrite=true")
    if file_sha256(tokenizer) != manifest.tokenizer_fingerprint:
        raise UserError(
            f"{tokenizer} ({file_sha256(tokenizer)[:12]}) is not the tokenizer that these shards were packed with "
            f"({manifest.tokenizer_fingerprint[:12]}): put that one back, or pack again with overwrite=true"
        )


def check_sizes(directory: str | Path, files: Mapping[str, FileRecord]) -> None:
    """As `check_file` for many, at a tenth of the time. Raises `Failure` naming the first that is not as recorded."""
    root = os.fspath(directory)
    for relative, record in files.items():
        try:
            if os.stat(f"{root}/{relative}").st_size == record.bytes:
                continue
        except OSError:
            pass
        check_file(Path(root) / relative, record)


def check_file(path: Path, record: FileRecord, checksum: bool = False) -> None:
    if not path.is_file():
        raise Failure(f"{path}: shard is missing; pack again with overwrite=true")
    size = path.stat().st_size
    if size != record.bytes:
        kind = "truncated" if size < record.bytes else "too long"
        raise Failure(f"{path}: shard is {kind} ({size} of {record.bytes} bytes); pack again with overwrite=true")
    if checksum and file_sha256(path) != record.sha256:
        raise Failure(f"{path}: shard is damaged (its sha256 is not the manifest's); pack again with overwrite=true")
