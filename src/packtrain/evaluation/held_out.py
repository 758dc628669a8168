"""held-out documents → one stream → windows → batches → model → Score (nats, tokens)

documents   BOS a b c EOS | BOS d e EOS | …
stream      t0 t1 t2 t3 t4 t5 t6 t7 t8 …
window 0    inputs t0 … t3   targets t1 … t4        T inputs each, stride T
window 1    inputs t4 … t7   targets t5 … t8        so every token but t0 is a target exactly once
the last    inputs t8 …      targets t9 …           shorter, scored by itself: nothing is padded, nothing dropped
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric

from packtrain.data.masked import IGNORED, ids
from packtrain.data.masked import targets as counted_targets
from packtrain.errors import Failure
from packtrain.model.layout import Layout

Batch = tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Layout]


@dataclass(frozen=True)
class Score:
    """The negative log-likelihood of a text: `nats` summed over `tokens` targets (BOS and EOS are targets too)."""

    nats: float
    tokens: int

    @property
    def loss(self) -> float:
        """Nats per token."""
        return self.nats / self.tokens

    @property
    def perplexity(self) -> float:
        """exp(loss); infinite where that is beyond a float."""
        return math.exp(self.loss) if self.loss < 700 else math.inf

    def bits_per_byte(self, n_bytes: int) -> float:
        """All the bits the model spends over the UTF-8 bytes of the text: comparable between tokenizers."""
        return self.nats / math.log(2) / n_bytes


class NegativeLogLikelihood(Metric):
    """A torchmetrics metric: Σ −ln p(target) in float64 and the number of targets; ranks are summed by `compute`.

    The sums are float64 because a float32 sum over a million tokens loses the fourth digit of the loss.
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = False
    nats: Tensor
    tokens: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("nats", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("tokens", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """logits (B, T, V), targets (B, T), IGNORED where none is. Stays on the device: nothing here waits for it."""
        losses = F.cross_entropy(
            logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
        )  # (B·T,)
        self.nats += losses.double().sum()
        self.tokens += (targets != IGNORED).sum()

    def compute(self) -> dict[str, Tensor]:
        return {"nats": self.nats, "tokens": self.tokens}

    def score(self) -> Score:
        """The sums over every rank, as plain numbers. The one place that waits for the device."""
        found = self.compute()
        return Score(nats=float(found["nats"]), tokens=int(found["tokens"]))


def windows(documents: Iterable[Tensor], sequence_length: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Pairs (inputs, targets) of int64 vectors, each `sequence_length` long but the last, which may be shorter.

    `documents` are one-dimensional integer tensors, BOS and EOS included; memory is one document and one window.
    """
    rest = torch.empty(0, dtype=torch.int64)
    for document in documents:
        rest = torch.cat([rest, document.to(torch.int64)])
        while len(rest) > sequence_length:
            yield rest[:sequence_length], rest[1 : sequence_length + 1]
            rest = rest[sequence_length:]
    if len(rest) > 1:
        yield rest[:-1], rest[1:]


def batches(
    documents: Iterable[Tensor], sequence_length: int, batch_size: int, limit_tokens: int | None = None
) -> Iterator[Batch]:
    """The windows stacked to (B, T) int64, B ≤ `batch_size`; a shorter last window comes alone as (1, t).

    `limit_tokens` stops after exactly that many targets (or at the end of the text).
    """
    stack: list[tuple[Tensor, Tensor]] = []
    left = math.inf if limit_tokens is None else limit_tokens
    for inputs, targets in windows(documents, sequence_length):
        if left <= 0:
            break
        size = int(min(left, len(targets)))
        left -= size
        if size < sequence_length:
            yield from _stacked(stack)
            stack = [(inputs[:size], targets[:size])]
            continue
        stack.append((inputs, targets))
        if len(stack) == batch_size:
            yield from _stacked(stack)
            stack = []
    yield from _stacked(stack)


def response_batches(
    documents: Iterable[Tensor], sequence_length: int, limit_tokens: int | None = None
) -> Iterator[Batch]:
    """Examples of `data.masked` side by side in rows of at most `sequence_length`, each hidden from the others:
    (1, n), (1, n) with IGNORED for what is not the model's to write, and their layout. A longer example is cut.

    `limit_tokens` stops after the row in which so many targets are reached.
    """
    row: list[Tensor] = []
    left = math.inf if limit_tokens is None else limit_tokens
    for document in documents:
        document = document.to(torch.int64)[: sequence_length + 1]
        if sum(len(one) - 1 for one in row) + len(document) - 1 > sequence_length:
            yield _row_of(row)
            left -= sum(int((one[1:] >= 0).sum()) for one in row)
            row = []
            if left <= 0:
                return
        row.append(document)
    if row:
        yield _row_of(row)


def _row_of(examples: list[Tensor]) -> Batch:
    inputs = torch.cat([ids(one[:-1]) for one in examples])
    layout = Layout((tuple(len(one) - 1 for one in examples),))
    return inputs[None], torch.cat([counted_targets(one[1:]) for one in examples])[None], layout


def score(model: nn.Module, batches: Iterable[Batch], device: torch.device | str = "cpu") -> Score:
    """The likelihood that `model` (tokens (B, T) → logits (B, T, V)) gives to `batches`; its mode is restored after.

    Raises `Failure` where there was not one token to score.
    """
    metric = NegativeLogLikelihood().to(device)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():  # not inference_mode: a table cached here must still be usable by training
            for inputs, targets, *layout in batches:
                metric.update(model(inputs.to(device), *layout), targets.to(device))
    finally:
        model.train(was_training)
    if not metric.update_called:
        raise Failure("the held-out text has no token to score: pack it again with a larger held_out fraction")
    return metric.score()


def _stacked(stack: list[tuple[Tensor, Tensor]]) -> Iterator[Batch]:
    if stack:
        yield torch.stack([inputs for inputs, _ in stack]), torch.stack([targets for _, targets in stack])
