"""attention=auto, device → one backend, and why that one"""

from __future__ import annotations

import functools
import sys
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from packtrain.errors import UserError
from packtrain.model.attention_backends import reference, sdpa, varlen, xformers
from packtrain.model.layout import Layout

AttentionName = Literal["auto", "xformers", "sdpa", "varlen", "reference"]


class Backend(Protocol):
    """The three functions of each module beside this one."""

    def unavailable(self, device: torch.device, /) -> str | None: ...
    def forward(self, q: Tensor, k: Tensor, v: Tensor, layout: Layout, /) -> tuple[Tensor, Tensor]: ...
    def backward(
        self, dout: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, layout: Layout, /
    ) -> tuple[Tensor, Tensor, Tensor]: ...


BACKENDS: dict[str, Backend] = {"xformers": xformers, "sdpa": sdpa, "varlen": varlen, "reference": reference}
assert {"auto", *BACKENDS} == set(get_args(AttentionName))


@functools.cache
def choose(name: AttentionName, device_type: str) -> Backend:
    """The backend called `name` for devices of a type (`cpu`, `cuda`).

    `auto` takes xformers on CUDA where it runs and PyTorch's SDPA elsewhere. Raises `UserError` for one that does not
    run there: why, and which do.
    """
    if name == "auto":
        taken = automatic(device_type)[0]
        if device_type == "cuda" and taken != "xformers":
            announce(device_type)  # not what a user of CUDA would expect
        return BACKENDS[taken]
    device = torch.device(device_type)
    if (reason := BACKENDS[name].unavailable(device)) is not None:
        known = ", ".join(other for other, backend in BACKENDS.items() if backend.unavailable(device) is None)
        raise UserError(f"attention={name} {reason}; available here: {known}")
    return BACKENDS[name]


@functools.cache
def automatic(device_type: str) -> tuple[str, str]:
    """What `auto` takes, and why."""
    device = torch.device(device_type)
    reason = xformers.unavailable(device)
    if reason is None:
        return "xformers", "the default on CUDA, and it runs here"
    return ("sdpa" if sdpa.unavailable(device) is None else "reference"), f"xformers {reason}"


@functools.cache
def announce(device_type: str) -> None:
    """Says on stderr which backend `auto` takes and why: once a process."""
    taken, why = automatic(device_type)
    print(f"attention=auto takes {taken}: {why}", file=sys.stderr)
