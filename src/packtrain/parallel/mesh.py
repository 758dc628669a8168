"""Degrees → DeviceMesh (replicate, shard, tensor) and this process's place in it"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from packtrain.parallel.config import Degrees

NAMES = ("replicate", "shard", "tensor")


@dataclass(frozen=True)
class Mesh:
    """A three-dimensional mesh, its dimensions of size one included."""

    degrees: Degrees
    device_mesh: DeviceMesh

    @property
    def data_mesh(self) -> DeviceMesh:
        """What FSDP2 shards over: (shard,), or (replicate, shard) for copies of a sharded model."""
        return self.device_mesh["replicate", "shard"] if self.degrees.replicate > 1 else self.device_mesh["shard"]

    @property
    def tensor_mesh(self) -> DeviceMesh:
        return self.device_mesh["tensor"]

    @property
    def tensor_group(self) -> Any:
        return self.device_mesh.get_group("tensor")

    @property
    def tensor_rank(self) -> int:
        return self.device_mesh.get_local_rank("tensor")

    @property
    def shard_rank(self) -> int:
        return self.device_mesh.get_local_rank("shard")

    @property
    def data_rank(self) -> int:
        """Which part of the global batch this process reads; the ranks of one tensor group read the same."""
        return self.device_mesh.get_local_rank("replicate") * self.degrees.shard + self.shard_rank

    @property
    def data_ranks(self) -> int:
        return self.degrees.replicate * self.degrees.shard


def make_mesh(degrees: Degrees, device_type: str) -> Mesh:
    """Collective. The process group must be there, with `degrees.world` ranks."""
    assert dist.get_world_size() == degrees.world, (dist.get_world_size(), degrees)
    shape = (degrees.replicate, degrees.shard, degrees.tensor)
    return Mesh(degrees, init_device_mesh(device_type, shape, mesh_dim_names=NAMES))
