"""pack ─without the documents of these ids or URLs→ another pack; chunks without any of them are linked, not copied

A chunk that holds one is written anew, its index, checksums, counts and provenance with it. What a run drew after a
removal is not what it would have drawn before: the blocks move. So the result is a new pack with a fingerprint of its
own, and a run goes on with the old one or begins anew.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from packtrain.data.manifest import (
    SPLITS,
    TOKENIZER,
    Domain,
    FileRecord,
    Manifest,
    Split,
    file_sha256,
    load_manifest,
    save_manifest,
)
from packtrain.data.provenance import FOLDER, SOURCES, Entry, ProvenanceWriter, entries, unit_of
from packtrain.data.publish import link, publish
from packtrain.data.shards import INDEX, Shards
from packtrain.errors import UserError


@dataclass(frozen=True)
class Found:
    """A document to be removed: number `place` of `chunk`, tokens `start` … `end` of its domain's line."""

    domain: str
    split: str
    chunk: str
    place: int
    start: int
    end: int
    entry: Entry


def find(pack: Path, wanted: Collection[str]) -> list[Found]:
    """The documents whose id or URL is in `wanted`, in the order of the pack."""
    manifest, names = load_manifest(pack), set(wanted)
    found: list[Found] = []
    splits = [(d, s) for d in manifest.domains for s in SPLITS if getattr(manifest.domains[d], s).documents]
    for domain, split in tqdm(splits, "search", unit=" splits", delay=1, disable=None):
        shards = Shards(pack, domain, split)
        by_unit: dict[int, list[tuple[str, int, int]]] = {}
        for chunk in shards.chunks():
            by_unit.setdefault(unit_of(chunk[0]), []).append(chunk)
        for unit, chunks in by_unit.items():
            owners = [(name, place, start) for name, items, start in chunks for place in range(items)]
            for (name, place, begin), entry in zip(owners, entries(pack, domain, split, unit), strict=False):
                if entry.id in names or (entry.url is not None and entry.url in names):
                    _, _, start, end = next(
                        at for at in shards.documents_at(begin, len(shards)) if at[:2] == (name, place)
                    )
                    found.append(Found(domain, split, name, place, start, end, entry))
    return found


def remove(pack: Path, found: list[Found], output: Path) -> Manifest:
    """The pack without these documents at `output`, a new folder or `pack` itself, which is replaced at the end.

    Raises `UserError` where nothing would be left.
    """
    manifest = load_manifest(pack)
    ids = sorted({one.entry.id for one in found})
    with publish(output) as folder:
        domains = {
            name: Domain(*(_split(pack, folder, name, split, getattr(domain, split), found) for split in SPLITS))
            for name, domain in manifest.domains.items()
        }
        if not any(domain.train.tokens for domain in domains.values()):
            raise UserError(f"shards={pack}: nothing to train on would be left")
        removed = [*manifest.settings.get("removed", []), hashlib.sha256("\n".join(ids).encode()).hexdigest()[:12]]
        manifest = replace(manifest, domains=domains, settings={**manifest.settings, "removed": removed})
        shutil.copyfile(pack / TOKENIZER, folder / TOKENIZER)
        if (pack / FOLDER / SOURCES).exists():
            shutil.copyfile(pack / FOLDER / SOURCES, folder / FOLDER / SOURCES)
        save_manifest(folder, manifest)
    return manifest


def _split(pack: Path, folder: Path, domain: str, split: str, record: Split, found: list[Found]) -> Split:
    gone: dict[str, set[int]] = {}
    here = [one for one in found if (one.domain, one.split) == (domain, split)]
    for one in here:
        gone.setdefault(one.chunk, set()).add(one.place)
    source, target = pack / domain / split, folder / domain / split
    target.mkdir(parents=True)
    (folder / FOLDER / domain).mkdir(parents=True, exist_ok=True)
    if not record.documents:
        return record
    index = json.loads((source / INDEX).read_text())
    dtype = np.dtype(np.uint16 if index["config"]["data_format"][0].endswith(":20") else np.int32)
    chunks, files = [], {}
    for chunk in index["chunks"]:
        name = chunk["filename"]
        key = f"{domain}/{split}/{name}"
        if name not in gone:
            link(source / name, target / name)
            files[key] = record.files[key]
        elif (chunk := _rewritten(source / name, target / name, chunk, gone[name], dtype)) is not None:
            files[key] = FileRecord((target / name).stat().st_size, file_sha256(target / name))
        if chunk is not None:
            chunks.append(chunk)
    _provenance(pack, folder, domain, split, index["chunks"], gone)
    if chunks:
        (target / INDEX).write_text(json.dumps({**index, "chunks": chunks}, sort_keys=True))
        files[f"{domain}/{split}/{INDEX}"] = FileRecord((target / INDEX).stat().st_size, file_sha256(target / INDEX))
    return Split(
        record.documents - len(here),
        record.tokens - sum(one.end - one.start for one in here),
        record.bytes - sum(one.entry.bytes for one in here),
        dict(sorted(files.items())),
    )


def _rewritten(
    source: Path, target: Path, chunk: dict[str, Any], gone: set[int], dtype: np.dtype
) -> dict[str, Any] | None:
    """The chunk's entry without the documents of these numbers; None where none is left."""
    items = chunk["chunk_size"]
    head = np.fromfile(source, np.uint32, items + 2)
    body = np.memmap(source, dtype, "r", offset=head.nbytes)
    edges = (head[1:].astype(np.int64) - head.nbytes) // dtype.itemsize
    left = [number for number in range(items) if number not in gone]
    if not left:
        return None
    lengths = np.array([edges[n + 1] - edges[n] for n in left], np.int64)
    size = 4 * (len(left) + 2)
    offsets = size + dtype.itemsize * np.concatenate([[0], np.cumsum(lengths)])
    with target.open("wb") as file:
        file.write(np.array([len(left), *offsets], np.uint32).tobytes())
        for number in left:
            file.write(body[edges[number] : edges[number + 1]].tobytes())
    entry = {**chunk, "chunk_size": len(left), "chunk_bytes": target.stat().st_size}
    return {**entry, "dim": int(lengths.sum())} if chunk.get("dim") else entry


def _provenance(
    pack: Path, folder: Path, domain: str, split: str, chunks: list[dict[str, Any]], gone: dict[str, set[int]]
) -> None:
    by_unit: dict[int, list[bool]] = {}
    for chunk in chunks:
        out = gone.get(chunk["filename"], set())
        by_unit.setdefault(unit_of(chunk["filename"]), []).extend(i in out for i in range(chunk["chunk_size"]))
    for unit, flags in by_unit.items():
        name = Path(FOLDER) / domain / f"{split}-{unit}.jsonl.zst"
        if not any(flags):
            link(pack / name, folder / name)
            continue
        writer = ProvenanceWriter(folder / name)
        for out, entry in zip(flags, entries(pack, domain, split, unit), strict=True):
            if not out:
                writer.write(entry)
        writer.close()
