"""logits of one position → repetition penalty → temperature → top_k → top_p → one token"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from packtrain.errors import Failure


def sample(logits: Tensor, temperature: float, top_k: int | None, top_p: float, generator: torch.Generator) -> int:
    """One token from logits (V,): temperature 0 takes the likeliest, otherwise it is drawn from `distribution`.

    Drawn on the CPU from `generator`, so that a seed gives the same text wherever the logits are the same. Raises
    `Failure` where the logits are no numbers.
    """
    logits = logits.float().cpu()
    if not math.isfinite(float(logits.sum())):  # one pass; fp32 holds the sum of any logits worth the name
        raise Failure("the model's logits are not finite numbers: its weights are damaged; use an earlier checkpoint")
    if temperature == 0:
        return int(logits.argmax())
    probabilities = distribution(logits, temperature, top_k, top_p)
    return int(torch.multinomial(probabilities, 1, generator=generator))


def distribution(logits: Tensor, temperature: float, top_k: int | None, top_p: float) -> Tensor:
    """What is drawn from: softmax(logits / temperature), cut to `top_k`, then to the nucleus of `top_p`; (V,) → (V,).

    The nucleus is the smallest set of likeliest tokens whose probabilities reach `top_p` together (Holtzman et al.,
    2019, arXiv 1904.09751); it always holds the likeliest one. Tokens outside have probability 0, the others sum to 1.
    """
    probabilities = torch.softmax(logits.double() / temperature, dim=-1)
    ordered, order = probabilities.sort(descending=True, stable=True)
    if top_k is not None:
        ordered[top_k:] = 0.0
    ordered /= ordered.sum()
    ordered[ordered.cumsum(0) - ordered >= top_p] = 0.0
    return torch.zeros_like(probabilities).scatter_(0, order, ordered / ordered.sum())


def penalised(logits: Tensor, seen: list[int], penalty: float) -> Tensor:
    """Logits (V,) of tokens in `seen` divided by `penalty` where positive, multiplied where negative.

    Keskar et al., 2019, arXiv 1909.05858, in the form that keeps the sign.
    """
    if penalty == 1.0 or not seen:
        return logits
    tokens = torch.tensor(sorted(set(seen)), device=logits.device)
    values = logits[tokens]
    return logits.index_copy(0, tokens, torch.where(values > 0, values / penalty, values * penalty))
