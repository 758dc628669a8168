"""logits, targets → mean negative log-likelihood, in nats a token"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """−mean log softmax(logits)[target] in fp32: (B, T, V), (B, T) int64 → scalar, nats a token."""
    return F.cross_entropy(logits.float().flatten(0, -2), targets.flatten())
