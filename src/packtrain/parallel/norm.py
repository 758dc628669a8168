"""gradients' shards → sum of squares → one sum over all ranks → the global norm, and with it the mean loss"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from packtrain.parallel.mesh import Mesh
from packtrain.parallel.tensor_model import tensor_dim


@torch.no_grad()
def global_norm_and_loss(model: nn.Module, loss: Tensor, mesh: Mesh) -> tuple[Tensor, Tensor, Tensor]:
    """(norm of all gradients, mean of `loss` over the ranks), both on the device, in one all-reduce of two numbers;
    and this rank's part of each parameter's squared norm, of which the sum over the ranks is the whole.

    A shard that several ranks hold (copies, and norms on a tensor mesh) is counted once: by its share.
    """
    copies = mesh.degrees.replicate
    squares = []
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            continue
        grad = parameter.grad.to_local() if isinstance(parameter.grad, DTensor) else parameter.grad
        held_by = copies * (mesh.degrees.tensor if tensor_dim(name, parameter.ndim) is None else 1)
        squares.append(torch.linalg.vector_norm(grad, dtype=torch.float32).square() / held_by)
    parts = torch.stack(squares)
    told = torch.stack([parts.sum(), loss.float() / mesh.degrees.world])
    dist.all_reduce(told)
    return told[0].sqrt(), told[1], parts


@torch.no_grad()
def clip(model: nn.Module, kind: str | None, at: float, norm: Tensor) -> None:
    """Clips the shards in place by the global `norm`, or each value by itself."""
    found = [p.grad for p in model.parameters() if p.grad is not None]
    grads = [grad.to_local() if isinstance(grad, DTensor) else grad for grad in found]
    scale = torch.clamp(at / (norm + 1e-6), max=1.0)
    for grad in grads:
        if kind == "norm":
            grad.mul_(scale)
        elif kind == "value":
            grad.clamp_(-at, at)
