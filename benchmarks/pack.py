"""documents + tokenizer ─pack→ shards: tokens/s of the whole command and of its parts, beside litdata's own optimize

    python -m benchmarks.pack [--megabytes 20] [--vocabulary 8000]

The text is the source of the running Python's standard library. `pack` is the whole command: reading documents,
encoding, writing shards, checksums. `litdata optimize` gets the same tokenizer and the same documents, one worker.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import interleave, parse, parser, table, write_results
from packtrain.data.documents import Document, DocumentWriter, read_documents
from packtrain.data.manifest import load_manifest
from packtrain.data.pack import pack
from packtrain.tokenizer.tokenizer import Tokenizer
from packtrain.tokenizer.training import train_tokenizer


def texts(megabytes: float) -> list[str]:
    """Modules of the standard library, again and again with another first line, until there are so many."""
    files = sorted(Path(contextlib.__file__).parent.glob("*.py"))
    found, size = [], 0
    while size < megabytes * 1e6:
        text = f"# {len(found)}\n" + files[len(found) % len(files)].read_text(encoding="utf-8", errors="replace")
        found.append(text)
        size += len(text.encode())
    return found


@cache
def _model(path: Path) -> Tokenizer:
    return Tokenizer(path)


def tokenize(text: str, path: Path) -> Iterator[torch.Tensor]:
    """For litdata's worker: one document as ids."""
    model = _model(path)
    yield torch.tensor([model.bos_id, *model.encode(text), model.eos_id], dtype=torch.uint16)


def litdata_optimize(documents: Path, tokenizer: Path, output: Path) -> None:
    """What litdata's documentation has its users do."""
    from litdata import TokensLoader, optimize

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        optimize(
            fn=partial(tokenize, path=tokenizer),
            inputs=[document.text for document in read_documents(documents)],
            output_dir=str(output),
            num_workers=1,
            chunk_bytes="64MB",
            item_loader=TokensLoader(),
        )


def main(argv: Sequence[str] | None = None) -> None:
    made = parser(__doc__)
    made.add_argument("--megabytes", type=float, default=20, help="of text")
    made.add_argument("--vocabulary", type=int, default=8000)
    arguments = parse(made, argv)
    size = 0.3 if arguments.quick else arguments.megabytes
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        content = texts(size)
        with DocumentWriter(folder / "documents") as writer:
            for n, text in enumerate(content):
                writer.write(Document(f"d/{n}", text, "code", "stdlib", split="train"))
        (folder / "t.model").write_bytes(
            train_tokenizer(iter(content[: 300 if not arguments.quick else 20]),
                            600 if arguments.quick else arguments.vocabulary)
        )  # fmt: skip
        tokenizer = Tokenizer(folder / "t.model")

        def whole() -> None:
            shutil.rmtree(folder / "pack", ignore_errors=True)
            pack([folder / "documents"], folder / "t.model", folder / "pack", 0.05, say=lambda _: None)

        def peer() -> None:
            shutil.rmtree(folder / "litdata", ignore_errors=True)
            litdata_optimize(folder / "documents", folder / "t.model", folder / "litdata")

        cases: dict[str, Callable[[], Any]] = {
            "packtrain pack": whole,
            "encoding alone, one thread": lambda: [tokenizer.encode(text) for text in content],
        }
        if not arguments.quick:
            cases["litdata optimize, one worker"] = peer
        timings = interleave(cases, arguments.rounds or (1 if arguments.quick else 3), warmup=1)
        split = load_manifest(folder / "pack").domains["code"].train
        rows = [
            {"what": name, **timing.row(split.tokens), "megabytes_per_second": split.bytes / 1e6 / timing.median}
            for name, timing in timings.items()
        ]
    print(table(rows))
    write_results("pack", rows, arguments, tokens=split.tokens, text_bytes=split.bytes)


if __name__ == "__main__":
    main()
