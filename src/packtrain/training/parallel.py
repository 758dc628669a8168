"""what a step does differently on a mesh: when gradients are reduced, how they are clipped, what is the batch's loss"""

from __future__ import annotations

from dataclasses import dataclass

import torch.distributed as dist
from torch import Tensor, nn

from packtrain.parallel.fsdp import last_micro_batch
from packtrain.parallel.mesh import Mesh
from packtrain.parallel.norm import clip, global_norm_and_loss
from packtrain.parallel.processes import World
from packtrain.training.optimiser import clip_gradients
from packtrain.training.schedule import OptimConfig


@dataclass(frozen=True)
class Parallel:
    """`mesh` None is one process that holds everything: the path on one device."""

    world: World = World()
    mesh: Mesh | None = None
    accumulate_sharded: bool = False

    @property
    def data_rank(self) -> int:
        """Which part of the global batch this process reads."""
        return 0 if self.mesh is None else self.mesh.data_rank

    @property
    def data_ranks(self) -> int:
        return 1 if self.mesh is None else self.mesh.data_ranks

    def before_backward(self, model: nn.Module, last: bool) -> None:
        if self.mesh is not None:
            last_micro_batch(model, last or self.accumulate_sharded)

    def clip(self, model: nn.Module, config: OptimConfig, loss: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Clips all gradients; returns their norm before that, the mean of `loss` over the ranks, and what
        `norms` makes each parameter's norm of."""
        if self.mesh is None:
            norm, parts = clip_gradients(model, config)
            return norm, loss, parts
        norm, loss, parts = global_norm_and_loss(model, loss, self.mesh)
        clip(model, config.clip, config.clip_at, norm)
        return norm, loss, parts

    def norms(self, model: nn.Module, parts: Tensor) -> dict[str, float]:
        """name → norm of its gradient before clipping (collective; waits for the device)."""
        if self.mesh is not None:
            parts = parts.clone()
            dist.all_reduce(parts)
            parts = parts.sqrt()
        names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        return dict(zip(names, parts.tolist(), strict=True))
