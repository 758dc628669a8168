"""prompts' ids ─prefill→ logits → one token a row → step → …: the new ids of every row, as they come

Rows are drawn independently: each has its own generator, seeded by (seed, number of the prompt), so what a prompt gets
does not depend on who sits beside it. A finished row leaves the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from packtrain.inference.decoder import Decoder
from packtrain.inference.sampling import penalised, sample
from packtrain.inference.settings import GenerationConfig

Finished = Callable[[int], bool]  # asked after each token of a row: is its text complete?


def generate_ids(
    decoder: Decoder,
    prompts: Sequence[list[int]],
    config: GenerationConfig,
    limit: int,
    eos_id: int,
    finished: Finished = lambda row: False,
    first: int = 0,
    numbers: Sequence[int] | None = None,
) -> Iterator[tuple[int, int]]:
    """(row, token) for every new token, rows in order within a step; EOS ends a row and is not among them.

    prompts: ids with BOS; only their last `limit` count. limit: tokens that the model looks back on. A row that grows
    beyond it is computed anew over its last `limit` tokens each time: T tokens of work for one. first: the number of
    the first prompt, for its seed; numbers: of each of them, where they do not count on from it.
    """
    rows = [list(prompt[-limit:]) for prompt in prompts]
    numbers = range(first, first + len(rows)) if numbers is None else numbers
    draws = [torch.Generator(device="cpu").manual_seed(config.seed + number) for number in numbers]
    alive = list(range(len(rows)))
    seen = [list(prompt) for prompt in prompts]
    if not rows or config.max_new_tokens == 0:
        return
    length = min(limit, max(map(len, rows)) + config.max_new_tokens)
    logits = _read(decoder, rows, length)
    for _ in range(config.max_new_tokens):
        drawn: list[int] = []
        staying: list[int] = []
        for place, row in enumerate(alive):
            scores = penalised(logits[place], seen[row], config.repetition_penalty)
            token = sample(scores, config.temperature, config.top_k, config.top_p, draws[row])
            if token == eos_id:
                continue
            seen[row].append(token)
            rows[row].append(token)
            yield row, token
            if not finished(row):
                drawn.append(token)
                staying.append(place)
        if len(staying) < len(alive):
            alive = [alive[place] for place in staying]
            if alive:
                decoder.keep(torch.tensor(staying, device=decoder.device))
        if not alive:
            return
        if max(len(rows[row]) for row in alive) > limit:
            logits = _read(decoder, [rows[row][-limit:] for row in alive], limit)
        else:
            logits = decoder.step(torch.tensor(drawn, device=decoder.device))


def _read(decoder: Decoder, rows: Sequence[list[int]], length: int) -> Tensor:
    """A new cache of `length` tokens, filled with `rows`; logits of each row's last token."""
    lengths = torch.tensor([len(row) for row in rows])
    tokens = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
    for place, row in enumerate(rows):
        tokens[place, : len(row)] = torch.tensor(row)
    decoder.reset(len(rows), length)
    return decoder.prefill(tokens.to(decoder.device), lengths)
