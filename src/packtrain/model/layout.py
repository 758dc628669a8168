"""tokens → where documents begin → Layout: who may see whom, and at which rotary position

A packed sequence holds several documents. Causal attention alone lets a token see the document before its own;
`data.document_mask=true` keeps each document to itself and starts its positions at zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, pairwise
from typing import Any

import torch
from torch import Tensor

from packtrain.errors import UserError


@dataclass(frozen=True, eq=False)
class Layout:
    """Which keys a query sees: all before it (`documents` None), or those before it in its own document.

    documents: for every row of the batch the lengths of its documents in order, such as ((5, 3), (8,)) for B = 2 and
        T = 8. What kernels need of them (offsets, masks) is derived once per device and shared by all layers.
    """

    documents: tuple[tuple[int, ...], ...] | None = None
    _derived: dict[Any, Any] = field(default_factory=dict, repr=False)

    def check(self, B: int, T: int) -> None:
        """Raises `UserError` where the documents do not cover B rows of T tokens exactly."""
        if self.documents is None or ("checked", B, T) in self._derived:
            return
        if len(self.documents) != B:
            raise UserError(f"document boundaries for {len(self.documents)} rows, the batch has {B}: give one for each")
        for row, lengths in enumerate(self.documents):
            if min(lengths, default=0) < 1 or sum(lengths) != T:
                raise UserError(
                    f"the documents of row {row} have lengths {_short(lengths)}, together {sum(lengths)} of {T} "
                    f"tokens: give positive lengths whose sum is {T}"
                )
        self._derived["checked", B, T] = True

    @property
    def lengths(self) -> list[int]:
        """The lengths of all documents, row after row, as if the batch were one sequence of B·T tokens."""
        return list(chain.from_iterable(self.documents or ()))

    def offsets(self, device: torch.device) -> Tensor:
        """Cumulative lengths over the flattened batch: (documents + 1,) int32, from 0 to B·T."""
        return self.once(("offsets", device), lambda: _send([0, *accumulate(self.lengths)], torch.int32, device))

    def positions(self, T: int, device: torch.device) -> Tensor:
        """Rotary positions: (T,) counting from 0, or (B, T) starting anew with each document."""
        if self.documents is None:
            return torch.arange(T, device=device)
        rows = [[t for length in lengths for t in range(length)] for lengths in self.documents]
        return self.once(("positions", device), lambda: _send(rows, torch.int64, device))

    def mask(self, T: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        """0 where a query sees a key, −∞ where not: (1, 1, T, T), or (B, 1, T, T) with documents."""
        return self.once(("mask", T, device, dtype), lambda: self._mask(T, device, dtype))

    def _mask(self, T: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        visible = torch.ones(T, T, dtype=torch.bool, device=device).tril()[None, None]
        if self.documents is not None:
            rows = [[n for n, length in enumerate(lengths) for _ in range(length)] for lengths in self.documents]
            number = _send(rows, torch.int64, device)  # (B, T): the token's document
            visible = visible & (number[:, None, :, None] == number[:, None, None, :])
        return torch.zeros(visible.shape, dtype=dtype, device=device).masked_fill_(~visible, float("-inf"))

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` gives, made the first time that `key` is asked for."""
        if key not in self._derived:
            self._derived[key] = make()
        return self._derived[key]


CAUSAL = Layout()


def document_lengths(tokens: Tensor, bos_id: int = 1) -> tuple[tuple[int, ...], ...]:
    """Lengths of the documents in each row of (B, T) token ids: one begins at every BOS, and at the row's start.

    Reads the tokens: call it on the CPU, before the batch goes to its device, or the device is waited for.
    """
    T = tokens.shape[1]
    found = []
    for row in tokens:
        starts = (row == bos_id).nonzero().flatten().tolist()
        edges = [0, *(start for start in starts if start > 0), T]
        found.append(tuple(b - a for a, b in pairwise(edges)))
    return tuple(found)


def _send(values: Sequence[Any], dtype: torch.dtype, device: torch.device) -> Tensor:
    """To the device without waiting for it: a copy from pageable memory would."""
    tensor = torch.tensor(values, dtype=dtype)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def _short(lengths: tuple[int, ...]) -> str:
    return ", ".join(map(str, lengths[:6])) + (", …" if len(lengths) > 6 else "") if lengths else "none"
