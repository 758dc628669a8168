"""documents that are not held out ─tokenizer/training→ FILE and FILE.json (how it was made), each made once"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from packtrain.data.documents import document_files, read_file, split_in
from packtrain.data.manifest import file_sha256
from packtrain.data.prepare import read_report
from packtrain.data.publish import already_made
from packtrain.tokenizer.training import train_tokenizer


def make_tokenizer(
    inputs: Sequence[Path],
    output: Path,
    vocab_size: int,
    held_out: float,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
    split_digits: bool = True,
) -> None:
    """Trains a tokenizer on the training documents of `inputs` (folders or files).

    `held_out` splits the documents that do not say their split: give the same share to `pack`.
    Raises `UserError`: missing or empty input, a vocabulary that the text cannot fill, an output of other settings.
    """
    files = document_files(inputs)
    settings = {"documents": inputs_digest(files), "vocab_size": vocab_size, "held_out": held_out}
    settings |= {} if split_digits else {"split_digits": False}
    if already_made(output, settings, _made(output), overwrite, say):
        return
    counts: Counter[str] = Counter()
    say(f"training a tokenizer of {vocab_size} pieces")
    model = train_tokenizer(_training_texts(files, held_out, counts), vocab_size, split_digits)
    record = {"settings": settings, "sha256": hashlib.sha256(model).hexdigest(), **counts}
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_name(output.name + ".tmp")
    temporary.write_bytes(model)
    temporary.replace(output)
    _record_path(output).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    say(f"{output}: {vocab_size} pieces from {counts['documents']} documents, {counts['characters']:,} characters")


def inputs_digest(files: Sequence[Path]) -> str:
    """12 hex digits of a sha256 over the files' bytes in order; where they lie does not matter."""
    return hashlib.sha256("".join(file_sha256(path) for path in files).encode()).hexdigest()[:12]


def expected_documents(files: Sequence[Path]) -> int | None:
    """How many documents the files hold, from the reports beside them; None where one is missing."""
    reports = [read_report(folder) for folder in {path.parent for path in files}]
    return sum(report["kept"] for report in reports if report) if all(r and "kept" in r for r in reports) else None


def _training_texts(files: Sequence[Path], held_out: float, counts: Counter[str]) -> Iterator[str]:
    documents = (document for path in files for document in read_file(path))
    for document in tqdm(documents, "read", expected_documents(files), unit=" documents", delay=1, disable=None):
        if split_in(document, held_out) == "train":
            counts.update(documents=1, characters=len(document.text))
            yield document.text


def _record_path(output: Path) -> Path:
    return output.with_name(output.name + ".json")


def _made(output: Path) -> dict[str, Any] | None:
    """The settings that made `output`, None where they are not known or the file has changed since."""
    try:
        record = json.loads(_record_path(output).read_text(encoding="utf-8"))
        return record["settings"] if record["sha256"] == file_sha256(output) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
