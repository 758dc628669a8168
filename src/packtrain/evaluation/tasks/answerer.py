"""requests → likelihoods from packed rows, texts drawn side by side → answers, in the order of the requests"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from packtrain.evaluation.tasks import likelihood
from packtrain.evaluation.tasks.packing import Wanted
from packtrain.evaluation.tasks.requests import Answer, Completions, Generate, Likelihood, Request
from packtrain.inference.decoder import Decoder
from packtrain.inference.generation import complete
from packtrain.inference.settings import GenerationConfig


class ModelAnswerer:
    """Asks a decoder. limit: tokens that it looks back on.  batch_tokens: in one forward, padding included."""

    def __init__(self, decoder: Decoder, tokenizer: Any, limit: int, batch_tokens: int, seed: int = 1) -> None:
        self.decoder, self.tokenizer = decoder, tokenizer
        self.limit, self.batch_tokens, self.seed = limit, batch_tokens, seed

    def answer(self, requests: Sequence[Request], numbers: Sequence[int]) -> list[Answer]:
        found: dict[int, Answer] = {}
        scored = [i for i, request in enumerate(requests) if isinstance(request, Likelihood)]
        asked = cast(list[Likelihood], [requests[i] for i in scored])
        found |= zip(scored, likelihood.answer(self.tokenizer, self.score, asked, self.limit), strict=True)
        alike: dict[Generate, list[int]] = {}
        for i, request in enumerate(requests):
            if isinstance(request, Generate):
                alike.setdefault(replace(request, context=""), []).append(i)
        for settings, places in alike.items():
            prompts = [requests[i].context for i in places]
            found |= zip(places, self._generate(settings, prompts, [numbers[i] for i in places]), strict=True)
        return [found[i] for i in range(len(requests))]

    def score(self, sequences: Sequence[Wanted]) -> likelihood.Found:
        return likelihood.packed_score(self.decoder, sequences, self.batch_tokens)

    def _generate(self, settings: Generate, prompts: Sequence[str], numbers: Sequence[int]) -> list[Completions]:
        texts, cut = fitted(self.tokenizer, prompts, self.limit, settings.max_tokens)
        rows = [
            (place, number * settings.n + copy) for place, number in enumerate(numbers) for copy in range(settings.n)
        ]
        drawn: list[list[str]] = [[] for _ in prompts]
        config = GenerationConfig(
            settings.max_tokens, settings.temperature, settings.top_p, None, self.seed, self.limit, 1.0, settings.stop
        )
        longest = max(map(len, self.tokenizer.encode_batch(texts)), default=0) + settings.max_tokens
        at_once = max(1, self.batch_tokens // longest) if prompts else 1
        for start in range(0, len(rows), at_once):
            part = rows[start : start + at_once]
            new = complete(
                self.decoder, self.tokenizer, [texts[place] for place, _ in part], config, _quiet,
                numbers=[number for _, number in part],
            )  # fmt: skip
            for (place, _), text in zip(part, new, strict=True):
                drawn[place].append(text)
        return [Completions(tuple(found), was_cut) for found, was_cut in zip(drawn, cut, strict=True)]


def fitted(tokenizer: Any, prompts: Sequence[str], limit: int, max_tokens: int) -> tuple[list[str], list[bool]]:
    """Prompts cut from the left so that BOS and all `max_tokens` have room within `limit`, and which were."""
    room = max(1, limit - max_tokens)
    ids = tokenizer.encode_batch(list(prompts))
    cut = [len(found) + 1 > room for found in ids]
    texts = [
        tokenizer.decode(found[len(found) - room + 1 :]) if over else prompt
        for found, over, prompt in zip(ids, cut, prompts, strict=True)
    ]
    return texts, cut


def _quiet(_: str) -> None:
    """Cuts are counted, not told one by one."""
