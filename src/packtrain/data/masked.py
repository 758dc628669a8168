"""a token that the loss counts: its id | one that is only read (a prompt, padding): ~id, which is negative

So one line of integers says both, and whatever reads shards by number reads these too. A pack of such lines says it in
its manifest: settings["loss"] is "response".
"""

from __future__ import annotations

import torch
from torch import Tensor

from packtrain.data.manifest import Manifest

IGNORED = -100  # a target that is none; what torch's cross_entropy leaves out
RESPONSE = {"loss": "response"}  # among the settings of a manifest


def is_masked(manifest: Manifest) -> bool:
    """Whether the tokens of this pack say which of them the loss counts."""
    return manifest.settings.get("loss") == RESPONSE["loss"]


def ids(tokens: Tensor) -> Tensor:
    """The token ids alone, of the shape of `tokens`."""
    return torch.where(tokens < 0, ~tokens, tokens)


def targets(tokens: Tensor) -> Tensor:
    """The ids that the loss counts, IGNORED in place of the others."""
    return tokens.masked_fill(tokens < 0, IGNORED)


def of_each_row(counted: Tensor, rows: int, length: int) -> list[Tensor]:
    """What `counted` says of a batch of `rows` of T = `length` targets, said of each row alone."""
    row = counted // length
    return [counted[row == number] - number * length for number in range(rows)]


def counted(rows: Tensor) -> Tensor:
    """Which of the B·T targets of rows (B, T + 1) count, as numbers into the flattened batch: (n,) int64."""
    return (rows[:, 1:] >= 0).flatten().nonzero().flatten()
