"""a model that is being trained, split over processes as it may be ─its own forward→ likelihoods, greedy texts

The batches are shared among the processes that read different data (`data_ranks`); each computes as many, so that it
takes part in every collective of a forward, and all know every answer. What is in a batch does not depend on their
number. Texts are written without a cache, T tokens of work for each new one: meant for the short answers of open
questions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import nn

from packtrain.evaluation.tasks.answerer import fitted
from packtrain.evaluation.tasks.likelihood import Found, answer, forward_score
from packtrain.evaluation.tasks.packing import Wanted
from packtrain.evaluation.tasks.requests import Answer, Completions, Generate, Likelihood, Request
from packtrain.inference.generation import first_of, stream
from packtrain.parallel.processes import World

T = TypeVar("T")
Part = TypeVar("Part")


class ForwardAnswerer:
    """limit: tokens that it looks back on, those that the model is trained over.  batch_tokens: in one forward.
    data_rank: of `data_ranks`; processes of the same one hold parts of the same layers, and compute the same."""

    def __init__(
        self, model: nn.Module, tokenizer: Any, limit: int, batch_tokens: int, device: torch.device, world: World,
        data_rank: int = 0, data_ranks: int = 1,
    ) -> None:  # fmt: skip
        self.model, self.tokenizer, self.limit, self.batch_tokens = model, tokenizer, limit, batch_tokens
        self.device, self.world, self.data_rank, self.data_ranks = device, world, data_rank, data_ranks

    def answer(self, requests: Sequence[Request], numbers: Sequence[int]) -> list[Answer]:
        with torch.no_grad():  # not inference_mode: a table cached here must still be usable by training
            asked = [request for request in requests if isinstance(request, Likelihood)]
            scored = iter(answer(self.tokenizer, self._score, asked, self.limit))
            written = iter(self._write([request for request in requests if isinstance(request, Generate)]))
        return [next(scored) if isinstance(request, Likelihood) else next(written) for request in requests]

    def _score(self, sequences: Sequence[Wanted]) -> Found:
        return forward_score(self.model, sequences, self.batch_tokens, self.device, self._each)

    def _each(self, parts: Sequence[Part], compute: Callable[[Part], T]) -> list[T]:
        """`compute` of every part, on every process the same to the last bit; who has none left repeats the last one.

        Collective, once.
        """
        if self.world.size == 1:
            return [compute(part) for part in parts]
        turns = range(-(-len(parts) // self.data_ranks))
        own = [compute(parts[min(turn * self.data_ranks + self.data_rank, len(parts) - 1)]) for turn in turns]
        first: dict[int, list[T]] = {}
        for data_rank, found in self.world.gather((self.data_rank, own)):
            first.setdefault(data_rank, found)  # of equals each process might take another
        return [first[i % self.data_ranks][i // self.data_ranks] for i in range(len(parts))]

    def _write(self, asked: Sequence[Generate]) -> list[Completions]:
        """The likeliest token each time, up to the end of text, a stop text or `max_tokens`."""
        fits = [fitted(self.tokenizer, [one.context], self.limit, one.max_tokens) for one in asked]
        prompts = [self.tokenizer.encode(text) for (text,), _ in fits]
        starts = [len(self.tokenizer.decode(prompt)) for prompt in prompts]
        new: list[list[int]] = [[] for _ in asked]
        alive = [i for i, one in enumerate(asked) if one.max_tokens > 0]
        while alive:
            rows = [[self.tokenizer.bos_id, *prompts[i], *new[i]] for i in alive]
            tokens = self._likeliest(rows)
            for i, token in zip(alive, tokens, strict=True):
                if token != self.tokenizer.eos_id:
                    new[i].append(token)
            ended = {
                i for i, token in zip(alive, tokens, strict=True)
                if token == self.tokenizer.eos_id or len(new[i]) == asked[i].max_tokens
                or first_of(asked[i].stop, self.tokenizer.decode([*prompts[i], *new[i]]), starts[i]) is not None
            }  # fmt: skip
            alive = [i for i in alive if i not in ended]
        texts = ["".join(stream(iter(new[i]), prompts[i], self.tokenizer, one.stop)) for i, one in enumerate(asked)]
        return [Completions((text,), cut) for text, (_, (cut,)) in zip(texts, fits, strict=True)]

    def _likeliest(self, rows: Sequence[list[int]]) -> list[int]:
        """The next token of each row."""
        longest = max(map(len, rows))
        at_once = max(1, self.batch_tokens // longest)

        def likeliest(part: Sequence[list[int]]) -> list[int]:
            tokens = torch.zeros(len(part), longest, dtype=torch.int64)
            for place, row in enumerate(part):
                tokens[place, : len(row)] = torch.tensor(row)
            ends = torch.tensor([len(row) - 1 for row in part], device=self.device)
            logits = self.model(tokens.to(self.device))[torch.arange(len(part), device=self.device), ends]
            return logits.argmax(-1).tolist()

        parts = [rows[start : start + at_once] for start in range(0, len(rows), at_once)]
        return [token for found in self._each(parts, likeliest) for token in found]
