"""documents → those of at least so many characters"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from packtrain.data.documents import Document
from packtrain.data.step import Tally


@dataclass(frozen=True)
class LongEnough:
    """Drops what is shorter than `min_characters`."""

    min_characters: int
    name: ClassVar[str] = "length"

    def __call__(self, documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
        for document in documents:
            if len(document.text) < self.min_characters:
                tally.drop(document, f"under {self.min_characters} characters")
            else:
                yield tally.keep(document)
