"""text's ids → windows → mean negative log-likelihood: what a precision costs"""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

from packtrain.inference.decoder import Decoder


def perplexity(decoder: Decoder, tokens: Tensor, window: int) -> float:
    """exp of the mean loss a token over `tokens` (N,), in windows of at most `window`, each without what was before.

    The first token of a window is not scored.
    """
    total, count = 0.0, 0
    for part in tokens.split(window):
        if len(part) < 2:
            continue
        logits = decoder.logits(part[None, :-1].to(decoder.device))[0]
        loss = F.cross_entropy(logits, part[1:].to(decoder.device), reduction="sum")
        total += float(loss.double())
        count += len(part) - 1
    return math.exp(total / count) if count else float("nan")
