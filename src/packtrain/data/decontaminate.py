"""documents + evaluation sets → contaminated.ndjson and contamination.json; with drop=true the documents without those

WORK/grams.npz                  the evaluation sets' n-grams, hashed (ngrams.py)
WORK/00/000003/…                a unit of files: what was found, and with drop the files without it
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from packtrain.data.code_version import code_version
from packtrain.data.complete import Executor, Rules, complete
from packtrain.data.documents import NO_SPLIT, Document, DocumentWriter, document_files, read_file
from packtrain.data.ngrams import EvaluationGrams, Hasher, read_evaluations
from packtrain.data.prepare import REPORT, read_report
from packtrain.data.publish import already_made, link, publish_with_work
from packtrain.data.run_steps import units_of
from packtrain.data.units import Place, Tick, Work
from packtrain.data.vocabulary import inputs_digest

FOUND = "contaminated.ndjson"
SUMMARY = "contamination.json"
SHOWN = 20


@dataclass(frozen=True)
class DecontaminateWork(Work):
    """Units of document files."""

    units: tuple[tuple[Path, ...], ...]
    names: tuple[tuple[str, ...], ...]
    n: int
    drop: bool
    work: Path
    fingerprint: str

    @property
    def place(self) -> Place:
        return Place(self.work / "00", self.fingerprint)

    def describe(self, unit: int) -> str:
        return f"decontaminating {self.units[unit][0]}"

    def run(self, unit: int, tick: Tick) -> None:
        evaluations, hasher = load_grams(self.work), Hasher(self.n)
        by_file: Counter[str] = Counter()
        gone: dict[str, Counter[str]] = {}
        seen = found = 0
        with self.place.draft(unit) as draft, (draft.path / FOUND).open("w", encoding="utf-8") as told:
            for path, name in zip(self.units[unit], self.names[unit], strict=True):
                kept = draft.path / "kept" / name
                with DocumentWriter(kept.parent, single=kept.name.partition(".")[0]) as writer:
                    for document in read_file(path):
                        tick(len(document.text))
                        seen += 1
                        if hit := _hit(document, evaluations, hasher):
                            told.write(json.dumps({**hit, "file": name}) + "\n")
                            by_file[hit["evaluation"]] += 1
                            found += 1
                            gone.setdefault(name, Counter()).update(_sizes(document))
                        if not hit and self.drop:
                            writer.write(document)
            draft.values |= {"seen": seen, "found": found, "gone": gone, "by_file": dict(by_file)}


def _sizes(document: Document) -> dict[str, int]:
    split, text = document.split or NO_SPLIT, document.text
    return {f"{split}/documents": 1, f"{split}/characters": len(text), f"{split}/bytes": len(text.encode())}


def _hit(document: Document, evaluations: EvaluationGrams, hasher: Hasher) -> dict[str, Any] | None:
    words = hasher.words(document.text)
    grams = hasher.grams(words)
    places = evaluations.found(grams)
    if not len(places):
        return None
    first = int(places[0])
    return {
        "id": document.id, "domain": document.domain, "source": document.source, "url": document.url,
        "grams": len(places), "evaluation": evaluations.file_of(grams[first]),
        "words": " ".join(words[first : first + hasher.n]),
    }  # fmt: skip


def save_grams(folder: Path, found: EvaluationGrams) -> None:
    np.save(folder / "grams.npy", found.grams)
    np.save(folder / "owners.npy", found.owners)
    (folder / "files.json").write_text(json.dumps([found.files, found.texts, found.short]))


def load_grams(folder: Path) -> EvaluationGrams:
    """Memory-mapped: all processes of a machine share them."""
    files, texts, short = json.loads((folder / "files.json").read_text())
    grams, owners = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("grams", "owners"))
    return EvaluationGrams(grams, owners, tuple(files), texts, short)


def decontaminate(
    inputs: Sequence[Path],
    evaluations: tuple[str, ...],
    output: Path,
    executor: Executor,
    n: int = 13,
    drop: bool = False,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Finds the documents that share `n` words in a row with an evaluation set; returns contamination.json's values.

    drop: `output` holds the other documents, under the names and folders that they had. Raises `UserError`: no
    documents, no evaluation sets, an output made with other settings.
    """
    files = document_files(inputs)
    known = read_evaluations(evaluations, Hasher(n))
    settings = {
        "documents": inputs_digest(files),
        "evaluations": hashlib.sha256(known.grams.tobytes()).hexdigest()[:12],
        "n": n,
        "drop": drop,
        "code": code_version("packtrain.data.decontaminate"),
    }
    made = _read(output / SUMMARY)
    if already_made(output, settings, made and made.get("settings"), overwrite, say):
        return made or {}
    fingerprint = hashlib.sha256(json.dumps(settings).encode()).hexdigest()
    names = _names(files)
    units = units_of([(path, name) for path, name in zip(files, names, strict=True)], [f.stat().st_size for f in files])
    weights = [sum(Path(path).stat().st_size for path, _ in unit) for unit in units]
    with publish_with_work(output, fingerprint, say) as (folder, building):
        save_grams(folder, known)
        paths = tuple(tuple(Path(path) for path, _ in unit) for unit in units)
        below = tuple(tuple(name for _, name in unit) for unit in units)
        work = DecontaminateWork(paths, below, n, drop, folder, fingerprint)
        complete(work, weights, "decontaminate", executor, Rules("stop"))
        values = {"settings": settings, **_joined(work, building, known)}
        if drop:
            _reports(files, names, building, work)
        (building / SUMMARY).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    _tell(output, values, known, n, drop, say)
    return values


def _names(files: Sequence[Path]) -> list[str]:
    """Below the deepest folder that holds all."""
    parents = [path.resolve().parent for path in files]
    top = parents[0]
    while not all(parent.is_relative_to(top) for parent in parents):
        top = top.parent
    return [path.resolve().relative_to(top).as_posix() for path in files]


def _joined(work: DecontaminateWork, building: Path, known: EvaluationGrams) -> dict[str, Any]:
    total: Counter[str] = Counter()
    by_file: Counter[str] = Counter()
    with (building / FOUND).open("wb") as told:
        for unit in range(len(work.units)):
            place, values = work.place.unit(unit), work.place.values(unit) or {}
            total.update({key: values[key] for key in ("seen", "found")})
            by_file.update(values["by_file"])
            told.write((place / FOUND).read_bytes())
            for name in sorted(values["files"]):
                if name.startswith("kept/"):
                    target = building / name.removeprefix("kept/").replace("-00000.jsonl.zst", ".jsonl.zst")
                    target.parent.mkdir(parents=True, exist_ok=True)
                    link(place / name, target)
    evaluation = {"files": len(known.files), "texts": known.texts, "too short": known.short, "grams": len(known.grams)}
    return {**total, "evaluations": evaluation, "by_evaluation": dict(by_file.most_common())}


def _reports(files: Sequence[Path], names: Sequence[str], building: Path, work: DecontaminateWork) -> None:
    """Beside the documents of each folder the report that they came with, without what was taken out."""
    gone: dict[Path, Counter[str]] = {path.parent: Counter() for path in files}
    folder_of = dict(zip(names, (path.parent for path in files), strict=True))
    for unit in range(len(work.units)):
        for name, sizes in (work.place.values(unit) or {})["gone"].items():
            gone[folder_of[name]].update(sizes)
    for name, folder in folder_of.items():
        target = (building / name).parent / REPORT
        report = read_report(folder)
        if report is None or not target.parent.is_dir() or target.exists():
            continue
        left = {split: dict(counts) for split, counts in report["splits"].items()}
        for key, count in gone[folder].items():
            split, what = key.split("/")
            left[split][what] -= count
        sums = {what: sum(counts[what] for counts in left.values()) for what in ("documents", "characters", "bytes")}
        lost = report["kept"] - sums["documents"]
        step = {"name": "decontaminate", "seen": report["kept"], "kept": sums["documents"], "changed": 0,
                "dropped": {"n-gram of an evaluation": lost} if lost else {}, "cut": {}}  # fmt: skip
        dropped = {**report["dropped"], **step["dropped"]}
        report |= {"kept": sums["documents"], "dropped": dropped, "splits": left, "steps": [*report["steps"], step]}
        report |= {"characters": sums["characters"], "bytes": sums["bytes"]}
        target.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _tell(
    output: Path, values: dict[str, Any], known: EvaluationGrams, n: int, drop: bool, say: Callable[[str], None]
) -> None:
    share = values["found"] / max(values["seen"], 1)
    done = "dropped" if drop else "reported, none dropped (drop=true drops them)"
    say(f"{output}: {values['found']:,} of {values['seen']:,} documents ({share:.3%}) hold {n} words in a row of "
        f"{len(known.files)} evaluation files; {done}; each in {FOUND}")  # fmt: skip
    for name, count in list(values["by_evaluation"].items())[:SHOWN]:
        say(f"  {count:6,}  {name}")
    if known.short:
        say(f"  {known.short:,} of {known.texts:,} texts are under {n} words and cannot be found")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
