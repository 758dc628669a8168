"""every tensor that PyTorch makes → bytes of storages alive, and the most there ever were (CPU has no such meter)"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class CountedBytes(TorchDispatchMode):
    """Adds a storage when an operation returns it and takes it off when it is freed. `peak` is in bytes."""

    def __init__(self, known: list[torch.Tensor] | None = None) -> None:
        super().__init__()
        self.alive: dict[int, Any] = {}
        self.now = self.peak = 0
        for tensor in known or []:
            self.count(tensor)

    def count(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self.alive or storage.nbytes() == 0 or tensor.device.type == "meta":
            return
        size = storage.nbytes()

        def gone(_: Any) -> None:
            self.alive.pop(key, None)
            self.now -= size

        self.alive[key] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.count(leaf)
        return result
