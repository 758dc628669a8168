"""pages → hashed words and pairs of words → logistic regression → like the pages that Wikipedia cites, or not

LLaMA (section 2.1) trained a linear classifier of pages used as references in Wikipedia against random pages, and
dropped what was not classified as a reference. The file is safetensors; the same input gives the same bytes.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from packtrain.data.documents import Document
from packtrain.data.step import Tally
from packtrain.errors import UserError

BUCKETS = 1 << 20
WORDS = re.compile(r"\w+")
CHARACTERS = 20_000  # of a page; more tells nothing new
PAIR = np.uint64(0x9E3779B97F4A7C15)


def features(text: str) -> np.ndarray:
    """The buckets of the words and pairs of words, each once, as sorted numbers below `BUCKETS`."""
    words = WORDS.findall(text[:CHARACTERS].lower())
    hashes = np.array([zlib.crc32(w.encode("utf-8", "replace")) for w in words], np.uint64)
    pairs = hashes[:-1] * PAIR + hashes[1:]
    both = np.concatenate([hashes * PAIR, pairs]) >> np.uint64(44)
    return np.unique(both).astype(np.int64)


class Classifier:
    """`probability(text)`: that a page is like a reference."""

    def __init__(self, path: Path) -> None:
        try:
            with safe_open(path, framework="np") as file:
                self.weights, self.bias = file.get_tensor("weights"), float(file.get_tensor("bias")[0])
            if self.weights.shape != (BUCKETS,):
                raise SafetensorError(f"weights of shape {self.weights.shape}")
        except (OSError, SafetensorError) as error:
            remedy = "make one with: packtrain quality train=classifier"
            raise UserError(f"{path}: no classifier of references ({error}); {remedy}") from None

    def probability(self, text: str) -> float:
        return _sigmoid(_score(features(text), self.weights, self.bias))


def train(
    references: Iterable[str], others: Iterable[str], output: Path, epochs: int, rate: float, seed: int
) -> dict[str, float]:
    """Writes the classifier; returns its accuracy on a tenth that was held out. AdaGrad, classes weighted equally."""
    examples = [(features(text), 1) for text in references]
    positives = len(examples)
    examples += [(features(text), 0) for text in others]
    negatives = len(examples) - positives
    if min(positives, negatives) < 10:
        counts = f"{positives} references and {negatives} random pages"
        raise UserError(f"{counts} are too few to learn from; give at least 10 of each")
    order = np.random.default_rng(seed)
    places = order.permutation(len(examples))
    held, used = places[: len(places) // 10], places[len(places) // 10 :]
    balance = {1: len(examples) / 2 / positives, 0: len(examples) / 2 / negatives}
    weights, squares, bias = np.zeros(BUCKETS, np.float32), np.full(BUCKETS, 1e-8, np.float32), 0.0
    for _ in range(epochs):
        for i in order.permutation(used):
            found, label = examples[i]
            if not len(found):
                continue
            error = balance[label] * (_sigmoid(_score(found, weights, bias)) - label)
            gradient = np.float32(error / np.sqrt(len(found))) + np.float32(1e-5) * weights[found]
            squares[found] += gradient**2
            weights[found] -= np.float32(rate) * gradient / np.sqrt(squares[found])
            bias -= 0.01 * rate * error
    save_file({"weights": weights, "bias": np.array([bias], np.float32)}, output, {"kind": "packtrain references"})
    right = [(_score(examples[i][0], weights, bias) > 0) == bool(examples[i][1]) for i in held]
    return {"accuracy": float(np.mean(right)), "held_out": len(held), "used": len(used)}


def _score(found: np.ndarray, weights: np.ndarray, bias: float) -> float:
    return float(weights[found].sum() / np.sqrt(len(found))) + bias if len(found) else -100.0


def _sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(x, -60, 60))))


@dataclass(frozen=True)
class References:
    """Drops the pages unlike references. model: a file made by `packtrain quality train=classifier`."""

    model: str
    minimum: float = 0.5
    name: ClassVar[str] = "references"

    def __post_init__(self) -> None:
        if not 0 <= self.minimum <= 1:
            raise UserError(f"references.minimum={self.minimum}: expected a probability between 0 and 1")

    def __call__(self, documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
        classifier = Classifier(Path(self.model))
        for document in documents:
            value = classifier.probability(document.text)
            found = replace(document, metadata={**document.metadata, "reference_probability": round(value, 4)})
            if value < self.minimum:
                tally.drop(found, "unlike a reference")
            else:
                yield tally.change(document, found)
