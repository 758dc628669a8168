"""documents + tokenizer → DIR/<domain>/{train,held_out}/ (litdata), DIR/tokenizer.model, DIR/manifest.json last

files ─units, on any executor→ encoded chunks, checksums (pack_units.py) → joined under one index → rename into place
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from packtrain.data.code_version import code_version
from packtrain.data.complete import Executor, Rules, complete
from packtrain.data.documents import document_files
from packtrain.data.executors.local import LocalExecutor
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
from packtrain.data.pack_units import PackWork, join
from packtrain.data.prepare import read_report
from packtrain.data.provenance import name_of, parts_of, write_sources
from packtrain.data.publish import already_made, publish_with_work
from packtrain.data.run_steps import units_of
from packtrain.data.vocabulary import inputs_digest
from packtrain.errors import UserError
from packtrain.tokenizer.tokenizer import Tokenizer

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
    executor: Executor | None = None,
) -> Manifest:
    """Packs every document of `inputs` and returns the manifest; does nothing where the same pack is there already.

    `held_out` splits the documents that do not say their split. Equal documents, tokenizer and settings: equal bytes.
    `weights` and `tokens` only steer the ledger: what such a run would draw of each domain, beside what is packed.
    `executor` packs units of files, by default processes of this machine; the bytes are the same with any.
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
    code = code_version("packtrain.data.pack_units", "packtrain.data.run_steps")
    parts = parts_of(files)
    names = [name_of(path, parts) for path in files]  # which stand in the provenance
    fingerprint = hashlib.sha256(json.dumps([settings, tokenizer.fingerprint, code, names]).encode()).hexdigest()
    with publish_with_work(output, fingerprint, say) as (work, folder):
        domains = _packed(files, tokenizer_path, held_out, work, fingerprint, folder, executor or LocalExecutor())
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


def _packed(
    files: Sequence[Path],
    tokenizer: Path,
    held_out: float,
    work: Path,
    fingerprint: str,
    folder: Path,
    executor: Executor,
) -> dict[str, Domain]:
    sizes = [path.stat().st_size for path in files]
    units = units_of([(path, path.name) for path in files], sizes)
    paths = tuple(tuple(Path(path) for path, _ in unit) for unit in units)
    threads = min(8, os.cpu_count() or 1) if len(units) == 1 else 1
    packing = PackWork(paths, tokenizer, held_out, work, fingerprint, threads, parts_of(files))
    complete(packing, [sum(path.stat().st_size for path in unit) for unit in paths], "pack", executor, Rules("stop"))
    domains = join(packing, folder)
    if not domains:
        raise UserError("the input files hold no documents; prepare some first")
    write_sources(folder, files)
    return domains
