"""Likelihood requests → tokens → packed rows → one forward each → nats of every continuation"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from packtrain.errors import Failure
from packtrain.evaluation.tasks.packing import Wanted, pack
from packtrain.evaluation.tasks.requests import Likelihood, Scored
from packtrain.inference.decoder import Decoder

ROW = 512  # tokens of a row: longer ones spend more on what the mask hides
AT_ONCE = 512  # positions whose logits are held at a time


class Codec(Protocol):
    """What scoring needs of a tokenizer."""

    @property
    def bos_id(self) -> int: ...
    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]: ...


Found = list[tuple[float, bool]]  # nats, and whether every token was the likeliest
Score = Callable[[Sequence[Wanted]], Found]
Each = Callable[
    [Sequence[Any], Callable[[Any], Any]], list[Any]
]  # (parts, what to do with one) → what came out of each


def alone(parts: Sequence[Any], compute: Callable[[Any], Any]) -> list[Any]:
    return [compute(part) for part in parts]


def encode(tokenizer: Codec, requests: Sequence[Likelihood], limit: int) -> tuple[list[Wanted], list[bool]]:
    """Context and continuation are encoded as one text, and what the context alone would have taken is not scored.

    White space at the end of a context belongs to the continuation, for a tokenizer writes it into the first piece of a
    word. Behind BOS only the last `limit` tokens are kept: (what is wanted, whether the beginning was cut).
    """
    parts = [(r.context.rstrip(), r.context[len(r.context.rstrip()) :] + r.continuation) for r in requests]
    whole = tokenizer.encode_batch([context + continuation for context, continuation in parts])
    contexts = dict.fromkeys(context for context, _ in parts)
    alone = dict(zip(contexts, map(len, tokenizer.encode_batch(list(contexts))), strict=True))
    wanted, cut = [], []
    for (context, _), ids in zip(parts, whole, strict=True):
        start = min(alone[context], len(ids) - 1) if ids else 0
        over = max(0, len(ids) - limit)  # inputs are BOS and all but the last
        wanted.append(Wanted([tokenizer.bos_id, *ids[over:]], max(1, start + 1 - over)))
        cut.append(over > 0)
    return wanted, cut


def answer(tokenizer: Codec, score: Score, requests: Sequence[Likelihood], limit: int) -> list[Scored]:
    """The likelihoods of `requests`, in their order."""
    wanted, cut = encode(tokenizer, requests, limit)
    return [
        Scored(nats, len(sequence.tokens) - sequence.start, greedy, was_cut)
        for sequence, (nats, greedy), was_cut in zip(wanted, score(wanted), cut, strict=True)
    ]


def packed_score(decoder: Decoder, sequences: Sequence[Wanted], budget: int) -> Found:
    """Every token of a shared beginning once; logits only where a token is scored."""
    nats = torch.zeros(len(sequences), dtype=torch.float64)
    greedy = torch.ones(len(sequences), dtype=torch.bool)
    for batch in pack(sequences, budget, ROW):
        if not len(batch.targets):
            continue  # nothing but empty continuations
        hidden = decoder.hidden(
            batch.tokens.to(decoder.device), batch.positions.to(decoder.device), batch.mask.to(decoder.device)
        )
        for part in torch.arange(len(batch.targets)).split(AT_ONCE):
            places, targets = batch.places[part].to(decoder.device), batch.targets[part].to(decoder.device)
            values, likeliest = gathered(decoder.logits_of(hidden[places[:, 0], places[:, 1]]), targets)
            nats.index_add_(0, batch.numbers[part], values)
            greedy[batch.numbers[part][~likeliest]] = False
    return _checked(list(zip(nats.tolist(), greedy.tolist(), strict=True)))


def forward_score(
    model: nn.Module, sequences: Sequence[Wanted], budget: int, device: torch.device | str, each: Each = alone
) -> Found:
    """The same by the model's plain forward, tokens (B, T) → logits (B, T, V): for a model that is being trained,
    however it is split over processes; each sequence for itself, padded to the longest of its batch. `each` computes
    the batches, of which it may leave some to other processes."""

    def scored(numbers: Sequence[int]) -> Found:
        longest = len(sequences[numbers[0]].tokens)
        tokens = torch.zeros(len(numbers), longest, dtype=torch.int64)
        for place, number in enumerate(numbers):
            tokens[place, : len(sequences[number].tokens)] = torch.tensor(sequences[number].tokens)
        logits = model(tokens[:, :-1].to(device))
        found = []
        for place, number in enumerate(numbers):
            first, behind = sequences[number].start, len(sequences[number].tokens)
            values, likeliest = gathered(logits[place, first - 1 : behind - 1], tokens[place, first:behind].to(device))
            found.append((float(values.sum()), bool(likeliest.all())))
        return found

    order = sorted(range(len(sequences)), key=lambda n: (-len(sequences[n].tokens), n))
    parts: list[list[int]] = []
    while order:
        at_once = max(1, budget // max(1, len(sequences[order[0]].tokens) - 1))
        parts.append(order[:at_once])
        order = order[at_once:]
    found: dict[int, tuple[float, bool]] = {}
    for numbers, values in zip(parts, each(parts, scored), strict=True):
        found |= zip(numbers, values, strict=True)
    return _checked([found[number] for number in range(len(sequences))])


def gathered(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """logits (N, V), targets (N,) → ln p(target) fp64 (N,), whether it is the likeliest (N,); on the CPU."""
    logits = logits.float()
    values = logits.log_softmax(-1).gather(-1, targets[:, None])[:, 0]
    return values.double().cpu(), (logits.argmax(-1) == targets).cpu()


def _checked(found: Found) -> Found:
    if not all(math.isfinite(nats) for nats, _ in found):
        raise Failure("the model's logits are not finite numbers: its weights are damaged; use an earlier checkpoint")
    return found
