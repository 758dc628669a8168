"""one domain's held-out shards → tokens → model → Score
└→ tokenizer → text → unigram, xz      both on the very same documents
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

import torch
from torch import nn

from packtrain.data.manifest import Manifest
from packtrain.data.masked import is_masked
from packtrain.data.shards import held_out_documents
from packtrain.errors import Failure
from packtrain.evaluation.baselines import unigram_bits_per_byte, xz_bits_per_byte
from packtrain.evaluation.comparison import DomainResult
from packtrain.evaluation.held_out import Batch, batches, response_batches, score
from packtrain.tokenizer.tokenizer import Tokenizer

Watch = Callable[[Iterable[Batch], int], Iterable[Batch]]


def scored_domains(manifest: Manifest) -> list[str]:
    """The domains that have held-out text."""
    return [name for name, domain in manifest.domains.items() if domain.held_out.tokens > 1 and domain.held_out.bytes]


def evaluate_domain(
    model: nn.Module,
    pack: Path,
    manifest: Manifest,
    domain: str,
    tokenizer: Tokenizer,
    sequence_length: int,
    batch_size: int = 4,
    device: torch.device | str = "cpu",
    watch: Watch = lambda found, total: found,
) -> DomainResult:
    """Scores all of a domain's held-out text and both baselines. `watch(batches, number)` may show progress.

    Raises `Failure` where the decoded text has not the bytes that were packed: bits per byte would be of another text.
    """
    record = manifest.domain(domain).held_out
    texts = [tokenizer.decode(document.tolist()) for document in inner_tokens(pack, manifest, domain)]
    n_bytes = sum(len(text.encode("utf-8")) for text in texts)
    if n_bytes != record.bytes:
        raise Failure(
            f"{pack}: the held-out text of '{domain}' decodes to {n_bytes} bytes, {record.bytes} were packed; "
            "pack again with overwrite=true"
        )
    found = held_out_batches(pack, manifest, domain, sequence_length, batch_size)
    full, rest = divmod(record.tokens - 1, sequence_length)
    number = math.ceil(full / (1 if is_masked(manifest) else batch_size)) + (rest > 0)
    return DomainResult(
        score=score(model, watch(found, number), device),
        documents=len(texts),
        bytes=n_bytes,
        unigram_bits_per_byte=unigram_bits_per_byte(
            chain.from_iterable(document.tolist() for document in inner_tokens(pack, manifest, domain)), n_bytes
        ),
        xz_bits_per_byte=xz_bits_per_byte("\n".join(texts).encode("utf-8")),
    )


def held_out_batches(
    pack: Path, manifest: Manifest, domain: str, sequence_length: int, batch_size: int, limit_tokens: int | None = None
) -> Iterator[Batch]:
    """What is scored of a domain: its text in windows, or, of a pack of instructions, the responses."""
    documents = held_out_documents(pack, domain)
    if is_masked(manifest):
        return response_batches(documents, sequence_length, limit_tokens)
    return batches(documents, sequence_length, batch_size, limit_tokens)


def scored_tokens(manifest: Manifest, domain: str) -> int:
    """Targets in all of a domain's held-out text; of instructions those of the responses."""
    if is_masked(manifest):
        return manifest.settings["made"]["held_out_targets"]
    return manifest.domain(domain).held_out.tokens


def inner_tokens(pack: Path, manifest: Manifest, domain: str) -> Iterator[torch.Tensor]:
    """Each held-out document as (tokens,) int64 without its BOS and EOS; of instructions the responses alone."""
    for document in held_out_documents(pack, domain):
        yield document[document >= 0] if is_masked(manifest) else document[1:-1]
