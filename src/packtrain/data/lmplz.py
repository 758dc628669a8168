"""documents ─normalised, in pieces→ text, a line a sentence ─lmplz→ ARPA ─→ n-gram model in a folder

`lmplz` is KenLM's program for interpolated modified Kneser-Ney models on disk; it is named, or found on the PATH or
beside the running Python, where `make lmplz` puts it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from packtrain.data import ngram
from packtrain.data.documents import Document
from packtrain.data.perplexity import TOKENIZER, token_lines
from packtrain.errors import Failure, UserError
from packtrain.tokenizer.tokenizer import Tokenizer

REMEDY = "build it with make lmplz (a minute; docs/domains/common_crawl.md), or give lm.lmplz=PATH"


def find(lmplz: str | None) -> str:
    """The program, or a `UserError` that says how to get it."""
    found = shutil.which(lmplz) if lmplz else installed("lmplz")
    if found is None:
        where = f"lm.lmplz={lmplz}: no such program" if lmplz else "lmplz of KenLM is not on the PATH"
        raise UserError(f"{where}; {REMEDY}")
    return found


def installed(program: str) -> str | None:
    """Where a program of KenLM's stands."""
    return shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))


def train(
    documents: Iterable[Document],
    folder: Path,
    program: str,
    order: int,
    tokenizer: Path | None,
    memory: str,
    prune: tuple[int, ...],
    limit: int | None,
) -> dict[str, Any]:
    """Writes the model into `folder` and returns what it is. `limit`: documents at most."""
    pieces = Tokenizer(tokenizer) if tokenizer is not None else None
    text, arpa = folder / "text", folder / "model.arpa"
    lines = tokens = count = 0
    with text.open("w", encoding="utf-8", errors="replace", newline="\n") as file:
        for count, document in enumerate(documents, 1):
            for line in token_lines(document.text, pieces):
                words = [w for w in line if w not in (ngram.BEGIN, ngram.END, ngram.UNKNOWN)]
                lines, tokens = lines + 1, tokens + len(words)
                file.write(" ".join(words) + "\n")
            if limit is not None and count >= limit:
                break
    if not tokens:
        raise UserError("there is no text to learn from; give input=DIR with documents")
    command = [
        program,
        "-o",
        str(order),
        "--discount_fallback",
        "-S",
        memory,
        "-T",
        str(folder / "tmp"),
        "--verbose_header",
    ]
    command += ["--prune", *map(str, prune)] if prune else []
    done = subprocess.run([*command, "--text", str(text), "--arpa", str(arpa)], capture_output=True, text=True)
    if done.returncode or not arpa.exists():
        last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no message")
        raise Failure(f"lmplz ended with {done.returncode}: {last[:300]}")
    about = {"documents": count, "lines": lines, "tokens": tokens, "prune": list(prune)}
    if tokenizer is not None and pieces is not None:
        shutil.copyfile(tokenizer, folder / TOKENIZER)
        about["tokenizer"] = pieces.fingerprint
    ngram.convert(arpa, folder, about)
    text.unlink()
    arpa.unlink()
    return about
