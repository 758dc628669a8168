"""token lists ─write→ litdata chunks of one domain and split ─memory map→ blocks for training, documents for scoring

The files are litdata's TokensLoader format, written by litdata and readable by its StreamingDataset. A chunk is
`[items u32][offsets u32 × (items + 1)][tokens]` with one document (BOS … EOS) per item. They are read here through
memory maps: any block by its number, in any order, across chunk borders (litdata's own reader drops each chunk's tail).
"""

from __future__ import annotations

import json
import warnings
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from packtrain.data.manifest import AT_ONCE_FILES, FileRecord, Split, check_sizes, file_sha256, load_manifest
from packtrain.data.remote_shards import fetch, is_remote
from packtrain.errors import Failure, UserError

INDEX = "index.json"
CHUNK_BYTES = 64 << 20
DTYPES = {"no_header_tensor:20": np.uint16, "no_header_tensor:15": np.int32, "no_header_tensor:16": np.int32}


SIGNED = 1 << 31  # as a vocabulary's size: four bytes a token, which may be below zero (`masked.py`)


def token_dtype(vocab_size: int) -> type[np.uint16] | type[np.int32]:
    return np.uint16 if vocab_size <= 1 << 16 else np.int32


class ShardWriter:
    """Documents as token ids → chunks in `directory`, two levels below the pack. The bytes depend on the ids alone.

    Holds one chunk (64 MiB) in memory. `close` returns the record, its paths relative to the pack.
    """

    def __init__(self, directory: Path, vocab_size: int) -> None:
        from litdata.streaming.item_loader import TokensLoader  # litdata takes a second to import; reading needs none
        from litdata.streaming.writer import BinaryWriter
        from litdata.utilities.env import _DistributedEnv

        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.dtype = directory, token_dtype(vocab_size)
        self._writer = BinaryWriter(str(directory), chunk_bytes=CHUNK_BYTES, item_loader=TokensLoader())
        self._writer._distributed_env = _DistributedEnv(1, 0, 1)  # under torchrun it would wait for every rank's chunks
        self._documents = self._tokens = self._bytes = 0

    def add(self, ids: list[int] | npt.NDArray[Any], text_bytes: int) -> None:
        """One document: its ids with BOS and EOS, and how many UTF-8 bytes its text has."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a document beyond 64 MiB makes one larger chunk: all right
            self._writer.add_item(self._documents, torch.from_numpy(np.array(ids, dtype=self.dtype)))
        self._documents, self._tokens, self._bytes = (
            self._documents + 1,
            self._tokens + len(ids),
            self._bytes + text_bytes,
        )

    def close(self) -> Split:
        if self._documents:
            self._writer.done()
            self._writer.merge(1)
            index = json.loads((self.directory / INDEX).read_text())
            index["updated_at"] = "0"  # litdata puts the clock here; the same documents must give the same bytes
            (self.directory / INDEX).write_text(json.dumps(index, sort_keys=True))
        pack = self.directory.parent.parent
        files = {
            path.relative_to(pack).as_posix(): FileRecord(path.stat().st_size, file_sha256(path))
            for path in sorted(self.directory.iterdir())
        }
        return Split(self._documents, self._tokens, self._bytes, files)


def write_shards(directory: Path, documents: Iterable[tuple[list[int], int]], vocab_size: int) -> Split:
    """All of `documents`, each (token ids with BOS and EOS, UTF-8 bytes of its text), through one `ShardWriter`."""
    writer = ShardWriter(directory, vocab_size)
    for ids, text_bytes in documents:
        writer.add(ids, text_bytes)
    return writer.close()


FEW_CHUNKS = 8  # of a remote pack: what is mapped stays on the disk though it left the cache
OPEN_CHUNKS = 4096  # a process may map 65 530 files; a corpus of terabytes has more


class Shards:
    """The tokens of one domain and split as one long line, memory-mapped. `len` is the number of tokens.

    Opening reads the index alone; a chunk is mapped, and its header checked, when a token of it is first asked for.
    """

    def __init__(self, pack: str | Path, domain: str, split: str) -> None:
        self.pack, self.domain, self.split = Path(pack), domain, split
        self.record: Split = getattr(load_manifest(pack).domain(domain), split)
        self.remote = is_remote(self.pack)
        self.most = FEW_CHUNKS if self.remote else OPEN_CHUNKS
        if not self.remote and len(self.record.files) <= AT_ONCE_FILES:
            check_sizes(self.pack, self.record.files)
        self.directory = self.pack / domain / split
        self._dtype: np.dtype[Any] = np.dtype(np.uint16)
        self._chunks: list[tuple[str, int]] = []  # file, documents
        self._maps: OrderedDict[int, npt.NDArray[Any]] = OrderedDict()
        self._starts = [0]
        if self.record.documents:
            self._read_index()

    def _read_index(self) -> None:
        path = self.directory / INDEX
        try:
            index = json.loads(path.read_text())
            self._dtype = np.dtype(DTYPES[index["config"]["data_format"][0]])
            chunks = [(str(c["filename"]), int(c["chunk_size"]), int(c["chunk_bytes"])) for c in index["chunks"]]
        except (OSError, ValueError, KeyError, IndexError, TypeError):
            raise Failure(f"{path}: shard index is damaged; pack again with overwrite=true") from None
        for name, items, size in chunks:
            self._chunks.append((name, items))
            self._starts.append(self._starts[-1] + (size - 4 * (items + 2)) // self._dtype.itemsize)
        if self._starts[-1] != self.record.tokens:
            raise Failure(
                f"{self.directory}: {self._starts[-1]} tokens, the manifest says {self.record.tokens}; "
                "pack again with overwrite=true"
            )

    def _offsets(self, chunk: int) -> npt.NDArray[np.int64]:
        """Where the documents of a chunk begin and the last one ends, in tokens."""
        name, items = self._chunks[chunk]
        head = np.fromfile(self._file(name), dtype=np.uint32, count=items + 2)
        return (head[1:].astype(np.int64) - head.nbytes) // self._dtype.itemsize

    def _file(self, name: str) -> Path:
        if not self.remote:
            return self.directory / name
        relative = f"{self.domain}/{self.split}/{name}"
        return fetch(self.pack, relative, self.record.files[relative])

    def _map(self, chunk: int) -> npt.NDArray[Any]:
        """The tokens of a chunk."""
        if chunk in self._maps:
            return self._maps[chunk]
        name, items = self._chunks[chunk]
        path, header = self._file(name), 4 * (items + 2)
        try:
            head = np.memmap(path, dtype=np.uint32, mode="r", shape=(items + 2,))
            body = np.memmap(path, dtype=self._dtype, mode="r", offset=header)
        except (OSError, ValueError) as error:
            raise Failure(f"{path}: shard cannot be read ({error}); pack again with overwrite=true") from None
        length = self._starts[chunk + 1] - self._starts[chunk]
        if int(head[0]) != items or int(head[1]) != header or len(body) != length or (
            int(head[-1]) != header + length * self._dtype.itemsize
        ):  # fmt: skip
            raise Failure(f"{path}: shard is damaged (its header does not fit); pack again with overwrite=true")
        self._maps[chunk] = body.view(np.ndarray)  # a memmap's own slices cost ten times a plain array's
        if len(self._maps) > self.most:
            self._maps.popitem(last=False)
        return self._maps[chunk]

    def __len__(self) -> int:
        return self._starts[-1]

    def read(self, start: int, out: npt.NDArray[Any]) -> None:
        """Tokens start … start + len(out) of the line into `out`, across chunks where need be."""
        done = 0
        while done < len(out):
            chunk = bisect_right(self._starts, start + done) - 1
            at = start + done - self._starts[chunk]
            part = self._map(chunk)[at : at + len(out) - done]
            out[done : done + len(part)] = part
            done += len(part)

    def tokens(self, start: int, count: int) -> torch.Tensor:
        """Tokens start … start + count of the line, (count,) int64."""
        out = np.empty(count, dtype=np.int64)
        self.read(start, out)
        return torch.from_numpy(out)

    def documents_at(self, start: int, count: int) -> Iterator[tuple[str, int, int, int]]:
        """(chunk's file, number of the document in it, first token of the line, end) of each that the tokens touch."""
        chunk = bisect_right(self._starts, start) - 1
        while chunk < len(self._chunks) and self._starts[chunk] < start + count:
            edges = self._offsets(chunk) + self._starts[chunk]
            first = max(0, int(np.searchsorted(edges, start, side="right")) - 1)
            for number in range(first, len(edges) - 1):
                if edges[number] >= start + count:
                    return
                yield self._chunks[chunk][0], number, int(edges[number]), int(edges[number + 1])
            chunk += 1

    def chunks(self) -> list[tuple[str, int, int]]:
        """(file, documents, tokens of the line before it) of each chunk."""
        return [(name, items, start) for (name, items), start in zip(self._chunks, self._starts, strict=False)]

    def documents(self) -> Iterator[torch.Tensor]:
        """Each document as (tokens,) int64, BOS and EOS included, in the order in which it was packed."""
        for chunk in range(len(self._chunks)):
            body = self._map(chunk)
            for start, end in pairwise(self._offsets(chunk)):
                yield torch.from_numpy(body[start:end].astype(np.int64))


class Blocks:
    """The blocks of one domain: `[i]` is (T + 1,) int64, tokens i·T … i·T + T: T inputs and their T targets."""

    def __init__(self, shards: Shards, sequence_length: int) -> None:
        self.shards, self.sequence_length = shards, sequence_length

    def __len__(self) -> int:
        return max(0, len(self.shards) - 1) // self.sequence_length

    def __getitem__(self, i: int) -> torch.Tensor:
        if not 0 <= i < len(self):
            raise IndexError(i)
        return self.shards.tokens(i * self.sequence_length, self.sequence_length + 1)

    def read(self, i: int, out: npt.NDArray[Any]) -> None:
        """`[i]` into `out` (T + 1,), without a copy between."""
        self.shards.read(i * self.sequence_length, out)


def open_blocks(pack: str | Path, domain: str, sequence_length: int) -> Blocks:
    """The training blocks of a domain. Raises `UserError` (unknown domain), `Failure` (shard missing, truncated)."""
    if sequence_length < 1:
        raise UserError(f"sequence_length={sequence_length}: expected at least 1")
    return Blocks(Shards(pack, domain, "train"), sequence_length)


def held_out_documents(pack: str | Path, domain: str) -> Iterator[torch.Tensor]:
    """Every held-out document of a domain, (tokens,) int64 with BOS and EOS; nothing is dropped or cut."""
    return Shards(pack, domain, "held_out").documents()
