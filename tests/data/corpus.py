"""Small documents on disk for the tests of packing; no library of Python is read"""

from __future__ import annotations

from pathlib import Path

from packtrain.data.documents import Document, DocumentWriter
from packtrain.tokenizer.training import train_tokenizer

SENTENCE = "a pack train is a caravan of llamas that carries tokens over the mountains in 12 345 days"
WORDS = SENTENCE.split()


def text(number: int, words: int = 40) -> str:
    """Words in an order of their own, with digits and line breaks."""
    return " ".join(WORDS[(number * 7 + i * (number % 5 + 1)) % len(WORDS)] for i in range(words)) + f"\n{number}\n"


def write_documents(folder: Path, domain: str, count: int = 30, split: str | None = None) -> Path:
    with DocumentWriter(folder) as writer:
        for i in range(count):
            own = split or ("held_out" if i % 10 == 0 else "train")
            writer.write(Document(f"{domain}/{i}", text(i, 20 + i), domain, "made up", split=own))
    return folder


def write_tokenizer(path: Path, vocab_size: int = 300) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(train_tokenizer((text(i) for i in range(50)), vocab_size))
    return path
