"""one training step → bytes of its shards, its saved activations and its messages, counted as they are made

Works on real tensors and on fake ones alike: what a dry run says of 2 048 ranks is what a small mesh really does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._distributed_c10d import ProcessGroup
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass
class StepBytes:
    """Of one rank. `sent`: by collective, in one optimiser step, by the ring algorithms: an all-gather or a
    reduce-scatter over n ranks sends (n − 1)/n of the whole, an all-reduce twice that. `activations`: what the backward
    of one micro-batch finds saved, without the parameters."""

    parameters: int = 0
    gradients: int = 0
    optimizer: int = 0
    activations: int = 0
    sent: Counter[str] = field(default_factory=Counter)


class Messages(TorchDispatchMode):
    """Adds up what collectives send."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "c10d":
            self._count(func.__name__.split(".")[0], args)
        return func(*args, **(kwargs or {}))

    def _count(self, name: str, args: Any) -> None:
        if "allreduce" in name:
            tensors = args[0] if isinstance(args[0], (list, tuple)) else [args[0]]
            n = next(ProcessGroup.unbox(a).size() for a in args if isinstance(a, torch.ScriptObject))  # pyright: ignore
            self.sent["all-reduce"] += sum(2 * (n - 1) * _bytes(t) // n for t in tensors)
        elif "allgather" in name or "all_gather" in name:
            self.sent["all-gather"] += _bytes(args[0]) - _bytes(args[1])
        elif "reduce_scatter" in name:
            self.sent["reduce-scatter"] += _bytes(args[1]) - _bytes(args[0])
        elif "broadcast" in name:
            self.sent["broadcast"] += sum(_bytes(t) for t in args[0])


def count_step(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    micro_step: Callable[[bool], Tensor],
    accumulation: int,
    after_backward: Callable[[], None],
) -> StepBytes:
    """Runs one step: `micro_step(last)` gives the loss of a micro-batch, `after_backward` clips."""
    saved: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        local = tensor.to_local() if isinstance(tensor, DTensor) else tensor
        saved[local.untyped_storage()._cdata] = local
        return tensor

    found = StepBytes()
    with Messages() as messages:
        for number in range(accumulation):
            saved.clear()
            with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
                loss = micro_step(number == accumulation - 1)
            if number == 0:
                parameters = _parameter_storages(model)
                kept = {key: t for key, t in saved.items() if key not in parameters}
                found.activations = sum(t.untyped_storage().nbytes() for t in kept.values()) + _handed(loss)
                del kept
            saved.clear()
            loss.backward()
        after_backward()
        found.gradients = sum(_bytes(p.grad) for p in model.parameters() if p.grad is not None)
        optimiser.step()
    found.parameters = sum(_bytes(p) for p in model.parameters())
    found.optimizer = sum(
        _bytes(value) for entry in optimiser.state.values() for value in entry.values() if value.ndim > 0
    )
    found.sent = messages.sent
    return found


def _handed(loss: Tensor) -> int:
    """The gradients that the loss made on its way and keeps for its backward."""
    node: Any = loss.grad_fn
    while node is not None and not hasattr(node, "handed"):
        node = node.next_functions[0][0] if node.next_functions else None
    return sum(_bytes(t) for t in node.handed) if node is not None else 0


def _parameter_storages(model: nn.Module) -> set[int]:
    """Storages of parameters, sharded and gathered."""
    found = set()
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            found.add(_local(parameter).untyped_storage()._cdata)
        if isinstance(module, FSDPModule):
            group = module._get_fsdp_state()._fsdp_param_group
            for parameter in group.fsdp_params if group else ():
                gathered = getattr(parameter, "_unsharded_param", None)
                if gathered is not None:
                    found.add(_local(gathered).untyped_storage()._cdata)
    return found


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _bytes(tensor: Tensor) -> int:
    return _local(tensor).numel() * tensor.element_size()
