"""document files ─PackWork, a unit of some 64 MB→ chunks and provenance of each unit ─joined→ one pack

WORK/00/000003/<domain>/<split>/chunk-0-0.bin …   the chunks of unit 3, an index over them, provenance.jsonl.zst
OUT/<domain>/<split>/chunk-3-0.bin …              the same files, and one index over the chunks of all units

Units follow the sizes of the files alone, so one process and a hundred write the same bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from packtrain.data.documents import Document, read_file, split_in
from packtrain.data.manifest import SPLITS, Domain, FileRecord, Split, file_sha256
from packtrain.data.provenance import FOLDER, ProvenanceWriter
from packtrain.data.publish import link
from packtrain.data.shards import INDEX, ShardWriter
from packtrain.data.units import Place, Tick, Work
from packtrain.errors import UserError
from packtrain.tokenizer.tokenizer import Tokenizer

BATCH_CHARACTERS = 1 << 20
RECORDS = "splits"  # in a unit's marker: domain → split → its record


@dataclass(frozen=True)
class PackWork(Work):
    """Units of document files; `parts` of a file's path are its name in the provenance.

    None is left out: documents that were prepared are not lost in silence.
    """

    units: tuple[tuple[Path, ...], ...]
    tokenizer: Path
    held_out: float
    work: Path
    fingerprint: str
    threads: int
    parts: int = 2

    @property
    def place(self) -> Place:
        return Place(self.work / "00", self.fingerprint)

    def describe(self, unit: int) -> str:
        names = [str(path) for path in self.units[unit]]
        return f"packing {names[0]}" + (f" and {len(names) - 1} more files" if len(names) > 1 else "")

    def run(self, unit: int, tick: Tick) -> None:
        tokenizer = Tokenizer(self.tokenizer)
        with self.place.draft(unit) as draft:
            written = _write(draft.path, self.units[unit], tokenizer, self, tick)
            draft.values[RECORDS] = {
                domain: {split: asdict(record) for split, record in splits.items()}
                for domain, splits in written.items()
            }


def _write(
    folder: Path, files: Sequence[Path], tokenizer: Tokenizer, work: PackWork, tick: Tick
) -> dict[str, dict[str, Split]]:
    writers: dict[tuple[str, str], ShardWriter] = {}
    sources: dict[tuple[str, str], ProvenanceWriter] = {}
    documents = ((document, path) for path in files for document in read_file(path))
    for batch in _batches(documents):
        texts = [document.text for document, _ in batch]
        for (document, path), ids in zip(batch, tokenizer.encode_batch(texts, work.threads), strict=True):
            if (document.domain, SPLITS[0]) not in writers:
                for split in SPLITS:
                    key = document.domain, split
                    writers[key] = ShardWriter(folder / document.domain / split, tokenizer.vocab_size)
                    path_of = folder / FOLDER / document.domain / f"{split}.jsonl.zst"
                    sources[key] = ProvenanceWriter(path_of, work.parts)
            key = document.domain, split_in(document, work.held_out)
            text_bytes = len(document.text.encode())
            writers[key].add([tokenizer.bos_id, *ids, tokenizer.eos_id], text_bytes)
            sources[key].add(document, path, text_bytes)
            tick(len(document.text))
    for source in sources.values():
        source.close()
    domains = sorted({domain for domain, _ in writers})
    return {domain: {split: writers[domain, split].close() for split in SPLITS} for domain in domains}


def _batches(documents: Iterable[tuple[Document, Path]]) -> Iterator[list[tuple[Document, Path]]]:
    """Documents of about a million characters at a time; empty ones left out."""
    batch: list[tuple[Document, Path]] = []
    characters = 0
    for document, path in documents:
        if not document.text:
            continue
        if Path(document.domain).name != document.domain or document.domain.startswith("."):
            raise UserError(f"document {document.id}: domain '{document.domain}' cannot be a folder's name")
        if document.domain == FOLDER:
            raise UserError(f"document {document.id}: domain '{FOLDER}' is the name of a folder of the pack")
        batch.append((document, path))
        characters += len(document.text)
        if characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def join(work: PackWork, folder: Path) -> dict[str, Domain]:
    """The units' chunks under one index for each domain and split, in the order of the units."""
    markers = [work.place.values(unit) or {} for unit in range(len(work.units))]
    names = sorted({domain for marker in markers for domain in marker[RECORDS]})
    domains = {}
    for domain in names:
        splits = {split: _joined(work, markers, folder, domain, split) for split in SPLITS}
        domains[domain] = Domain(splits["train"], splits["held_out"])
    return domains


def _joined(work: PackWork, markers: list[dict], folder: Path, domain: str, split: str) -> Split:
    target = folder / domain / split
    target.mkdir(parents=True)
    documents = tokens = text_bytes = 0
    files: dict[str, FileRecord] = {}
    index: dict | None = None
    for unit, marker in enumerate(markers):
        record = marker[RECORDS].get(domain, {}).get(split)
        if not record or not record["documents"]:
            continue
        documents, tokens = documents + record["documents"], tokens + record["tokens"]
        text_bytes += record["bytes"]
        place = work.place.unit(unit)
        here = json.loads((place / domain / split / INDEX).read_text())
        for chunk in here["chunks"]:
            path = place / domain / split / chunk["filename"]
            chunk["filename"] = f"chunk-{unit}-{chunk['filename'].split('-')[-1]}"
            link(path, target / chunk["filename"])
            files[f"{domain}/{split}/{chunk['filename']}"] = FileRecord(
                **record["files"][f"{domain}/{split}/{path.name}"]
            )
        index = {**here, "chunks": [*(index["chunks"] if index else []), *here["chunks"]]}
        provenance = folder / FOLDER / domain / f"{split}-{unit}.jsonl.zst"
        provenance.parent.mkdir(parents=True, exist_ok=True)
        link(place / FOLDER / domain / f"{split}.jsonl.zst", provenance)
    if index is not None:
        (target / INDEX).write_text(json.dumps(index, sort_keys=True))
        files[f"{domain}/{split}/{INDEX}"] = FileRecord(os.path.getsize(target / INDEX), file_sha256(target / INDEX))
    return Split(documents, tokens, text_bytes, dict(sorted(files.items())))
