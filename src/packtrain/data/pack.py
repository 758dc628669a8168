"""documents + tokenizer → DIR/<domain>/{train,held_out}/ (litdata), DIR/tokenizer.model, DIR/manifest.json last

read → split → encode in batches → BOS document EOS → one writer per domain and split → checksums → rename into place
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from packtrain.data.documents import Document, document_files, read_file, split_in
from packtrain.data.ledger import LEDGER, of_pack, remarks
from packtrain.data.manifest import (
    MANIFEST,
    SPLITS,
    TOKENIZER,
    VERSION,
    Domain,
    Manifest,
    load_manifest,
    save_manifest,
    verify,
)
from packtrain.data.prepare import read_report
from packtrain.data.publish import already_made, publish
from packtrain.data.shards import ShardWriter
from packtrain.data.vocabulary import expected_documents, inputs_digest
from packtrain.errors import UserError
from packtrain.tokenizer.tokenizer import Tokenizer

BATCH_CHARACTERS = 1 << 20
SAME_SPLIT = ({"python_code", "python_prose"},)  # domains cut from one source must be split alike


def pack(
    inputs: Sequence[Path],
    tokenizer_path: Path,
    output: Path,
    held_out: float,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
    weights: Mapping[str, float] | None = None,
    tokens: int | None = None,
) -> Manifest:
    """Packs every document of `inputs` and returns the manifest; does nothing where the same pack is there already.

    `held_out` splits the documents that do not say their split. Equal documents, tokenizer and settings: equal bytes.
    `weights` and `tokens` only steer the ledger: what such a run would draw of each domain, beside what is packed.
    """
    files = document_files(inputs)
    check_splits(files)
    tokenizer = Tokenizer(tokenizer_path)
    settings = {
        "documents": inputs_digest(files),
        "tokenizer": tokenizer.fingerprint[:12],
        "held_out": held_out,
        "format": "BOS document EOS, litdata TokensLoader",
    }
    made = load_manifest(output).settings if (output / MANIFEST).exists() else None
    if already_made(output, settings, made, overwrite, say):
        manifest = verify(output)
        _say_ledger(output, manifest, weights or {}, tokens, say)
        return manifest
    with publish(output) as folder:
        domains = _write(folder, files, tokenizer, held_out)
        shutil.copyfile(tokenizer_path, folder / TOKENIZER)
        manifest = Manifest(VERSION, tokenizer.vocab_size, tokenizer.fingerprint, settings, domains)
        save_manifest(folder, manifest)
    for name, domain in manifest.domains.items():
        counts = " and ".join(f"{getattr(domain, s).tokens:,} tokens {s.replace('_', ' ')}" for s in SPLITS)
        say(f"{output}: {name}: {counts}")
    _say_ledger(output, manifest, weights or {}, tokens, say)
    return manifest


def _say_ledger(
    output: Path, manifest: Manifest, weights: Mapping[str, float], tokens: int | None, say: Callable[[str], None]
) -> None:
    ledger = of_pack(manifest, weights, tokens)
    if ledger.stands_in(output / LEDGER):
        return
    ledger.write(output / LEDGER)
    say(f"{output}: the mixture of {ledger.tokens:,} tokens beside what is packed for training")
    for line in (*ledger.lines(), *remarks(manifest, weights)):
        say(f"  {line}")


def check_splits(files: Sequence[Path]) -> None:
    """Refuse code and prose of one library that were split by different shares: held-out prose would be trained on."""
    reports = [report for folder in {path.parent for path in files} if (report := read_report(folder))]
    for group in SAME_SPLIT:
        shares = {r["domain"]: r.get("settings", {}).get("held_out") for r in reports if r.get("domain") in group}
        if len(set(shares.values())) > 1:
            told = ", ".join(f"{domain} {share}" for domain, share in sorted(shares.items()))
            raise UserError(
                f"held_out differs between domains of one source ({told}); prepare them with the same share"
            )


def _write(folder: Path, files: Sequence[Path], tokenizer: Tokenizer, held_out: float) -> dict[str, Domain]:
    writers: dict[str, dict[str, ShardWriter]] = {}
    documents = (document for path in files for document in read_file(path))
    bar = tqdm(documents, "pack", expected_documents(files), unit=" documents", delay=1, disable=None)
    threads = min(8, os.cpu_count() or 1)
    for batch in _batches(bar):
        for document, ids in zip(batch, tokenizer.encode_batch([d.text for d in batch], threads), strict=True):
            if document.domain not in writers:
                writers[document.domain] = {
                    s: ShardWriter(folder / document.domain / s, tokenizer.vocab_size) for s in SPLITS
                }
            ids = [tokenizer.bos_id, *ids, tokenizer.eos_id]
            writers[document.domain][split_in(document, held_out)].add(ids, len(document.text.encode()))
    if not writers:
        raise UserError("the input files hold no documents; prepare some first")
    return {name: Domain(w["train"].close(), w["held_out"].close()) for name, w in sorted(writers.items())}


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Documents of about a million characters at a time; empty ones left out."""
    batch: list[Document] = []
    characters = 0
    for document in documents:
        if not document.text:
            continue
        if Path(document.domain).name != document.domain or document.domain.startswith("."):
            raise UserError(f"document {document.id}: domain '{document.domain}' cannot be a folder's name")
        batch.append(document)
        characters += len(document.text)
        if characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
