"""packtrain quality train=lm|classifier input=DOCUMENTS output=PATH → the model that domain=common_crawl applies"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from packtrain.data import lmplz, references
from packtrain.data.documents import Document, read_documents
from packtrain.data.publish import publish
from packtrain.errors import UserError


@dataclass(frozen=True)
class LanguageModelOptions:
    order: int = 5
    tokenizer: str | None = None
    prune: tuple[int, ...] = ()
    memory: str = "40%"
    lmplz: str | None = None

    def __post_init__(self) -> None:
        if not 2 <= self.order <= 6:
            raise UserError(f"lm.order={self.order}: expected 2 to 6, which lmplz is built for")
        if not re.fullmatch(r"\d+(\.\d+)?[%KMGT]", self.memory):
            raise UserError(f"lm.memory={self.memory}: expected a share or a size, such as 40% or 2G")


@dataclass(frozen=True)
class ClassifierOptions:
    epochs: int = 5
    rate: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.rate <= 0:
            raise UserError(f"classifier.epochs={self.epochs}, rate={self.rate}: expected both above 0")


@dataclass(frozen=True)
class QualityJob:
    input: str
    output: str
    train: Literal["lm", "classifier"] = "lm"
    others: str | None = None
    limit: int | None = None
    lm: LanguageModelOptions = field(default_factory=LanguageModelOptions)
    classifier: ClassifierOptions = field(default_factory=ClassifierOptions)
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.train == "classifier" and self.others is None:
            raise UserError("train=classifier needs others=DIR, documents of random pages to tell references from")


def run(job: QualityJob) -> None:
    """Trains the model and says what it is. Raises `UserError`: no lmplz, no input, an output that is there."""
    output = Path(job.output)
    if output.exists() and not job.overwrite:
        raise UserError(f"output={output} is there; give another output=PATH, or overwrite=true to replace it")
    (_train_lm if job.train == "lm" else _train_classifier)(job, output)


def _train_lm(job: QualityJob, output: Path) -> None:
    program = lmplz.find(job.lm.lmplz)
    tokenizer = Path(job.lm.tokenizer) if job.lm.tokenizer else None
    with publish(output) as folder:
        about = lmplz.train(
            _documents(job.input, None),
            folder,
            program,
            job.lm.order,
            tokenizer,
            job.lm.memory,
            job.lm.prune,
            job.limit,
        )
    print(f"{output}: {job.lm.order}-gram model of {about['documents']:,} documents, {about['tokens']:,} tokens")


def _train_classifier(job: QualityJob, output: Path) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    building = output.with_name(f".{output.name}.tmp")
    options = job.classifier
    pages = [(d.text for d in _documents(path, job.limit)) for path in (job.input, str(job.others))]
    try:
        found = references.train(pages[0], pages[1], building, options.epochs, options.rate, options.seed)
    except BaseException:
        building.unlink(missing_ok=True)
        raise
    if output.is_dir():
        shutil.rmtree(output)
    building.rename(output)
    print(
        f"{output}: trained on {found['used']:,} pages; {found['accuracy']:.1%} of {found['held_out']:,} others right"
    )


def _documents(path: str, limit: int | None) -> Iterator[Document]:
    documents = (document for document in read_documents(path) if document.split != "held_out")
    yield from tqdm(islice(documents, limit), desc=Path(path).name, unit=" documents", delay=1, disable=None)
