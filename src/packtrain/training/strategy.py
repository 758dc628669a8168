"""processes that a launcher made → mesh → Lightning's ModelParallelStrategy, with checkpoints of our own

The model arrives wrapped (`parallel.fsdp`): the strategy only says who is who, and saves and loads by parameter name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import ModelParallelStrategy
from safetensors import safe_open
from torch import Tensor
from torch.distributed.tensor import DTensor

from packtrain.checkpoint.asynchronous import STATE, Saver
from packtrain.checkpoint.directory import read_meta
from packtrain.checkpoint.load import WEIGHTS
from packtrain.checkpoint.sharded import MODEL, MOMENTS, read_into
from packtrain.parallel.fsdp import part
from packtrain.parallel.mesh import Mesh
from packtrain.parallel.processes import World


class LaunchedProcesses(ClusterEnvironment):
    """What torchrun or srun made, as `World` found it."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return ""  # the process group is there already

    @property
    def main_port(self) -> int:
        return 0

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self.world.size

    def set_world_size(self, size: int) -> None:
        assert size == self.world.size, (size, self.world)

    def global_rank(self) -> int:
        return self.world.rank

    def set_global_rank(self, rank: int) -> None:
        assert rank == self.world.rank, (rank, self.world)

    def local_rank(self) -> int:
        return self.world.local_rank

    def node_rank(self) -> int:
        return self.world.rank // self.world.local_size


class MeshStrategy(ModelParallelStrategy):
    """FSDP2 and tensor parallelism over `mesh`. Checkpoints are sharded, asynchronous, and readable on any mesh.

    `identity` is what every checkpoint says of the run; `after_commit` is called on rank 0 when one is committed.
    """

    def __init__(self, world: World, mesh: Mesh, device: torch.device, identity: Mapping[str, Any]) -> None:
        super().__init__(data_parallel_size=mesh.degrees.data, tensor_parallel_size=mesh.degrees.tensor)
        self.world, self.mesh, self.device, self.identity = world, mesh, device, dict(identity)
        self.saver = Saver()

    def on_commit(self, action: Callable[[], None]) -> None:
        self.saver.after = action

    @property
    def root_device(self) -> torch.device:
        return self.device

    def setup_environment(self) -> None:
        assert self.accelerator is not None
        self.accelerator.setup_device(self.root_device)
        self.set_world_ranks()
        self._device_mesh = self.mesh.device_mesh

    def setup(self, trainer: Trainer) -> None:
        super().setup(trainer)
        optimiser = self.optimizers[0]
        for group in optimiser.param_groups:  # as the first step would: a checkpoint is read into what is there
            for parameter in group["params"]:
                step = torch.zeros((), dtype=torch.float32, device=self.device)
                moments = {"exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}
                optimiser.state[parameter] = {"step": step, **moments}

    def barrier(self, name: str | None = None) -> None:
        self.world.gather(0)

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        assert src == 0
        return self.world.share(obj)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        return {}  # `tensors` has them

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        return {}

    def tensors(self) -> dict[str, Tensor]:
        """Weights and moments by name, as they lie on the mesh."""
        found = {}
        for name, parameter in self._llama().named_parameters():
            found[MODEL + name] = parameter.detach()
            for prefix in MOMENTS:
                found[prefix + name] = self.optimizers[0].state[parameter][prefix.removesuffix(".")]
        return found

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any | None = None) -> None:
        """Returns when everything is copied; `wait` when it is committed."""
        step, optimiser = int(checkpoint["global_step"]), self.optimizers[0]
        names = {id(parameter): name for name, parameter in self._llama().named_parameters()}
        ordered = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        rest = {key: value for key, value in checkpoint.items() if key not in ("state_dict", "optimizer_states")}
        rest["parameter_names"] = [names[id(parameter)] for parameter in ordered]
        rest["param_groups"] = _plain_groups(optimiser)
        rest["optimiser_step"] = int(optimiser.state[ordered[0]]["step"])
        meta = {
            "kind": "sharded", **self.identity, "step": step, "tokens": step * self.identity["batch_tokens"],
            "mesh": str(self.mesh.degrees),
        }  # fmt: skip
        self.saver.start(Path(filepath), self.tensors(), rest, meta)

    def wait(self) -> None:
        """The save under way is committed. Raises `Failure` where it failed."""
        self.saver.wait()

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        path = Path(checkpoint_path)
        state = torch.load(path / STATE, map_location="cpu", weights_only=True, mmap=True)
        if read_meta(path)["kind"] == "sharded":
            read_into(self.tensors(), path, self.world.flags)
            self._set_step(state["optimiser_step"])
        else:
            self._load_whole(path, state.pop("optimizer_states")[0])
        return {**state, "state_dict": {}, "optimizer_states": [{}]}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Done by `load_checkpoint`."""

    @torch.no_grad()
    def _load_whole(self, path: Path, adam: dict[str, Any]) -> None:
        """A checkpoint of one process: each rank keeps its part of every tensor, one tensor at a time."""
        optimiser, names = self.optimizers[0], {id(p): n for n, p in self._llama().named_parameters()}
        ordered = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        with safe_open(path / WEIGHTS, framework="pt") as file:
            for number, parameter in enumerate(ordered):
                name, entry = names[id(parameter)], adam["state"][number]
                own: Any = optimiser.state[parameter]
                for into, whole in (
                    (parameter, file.get_tensor(name)),
                    (own["exp_avg"], entry["exp_avg"]),
                    (own["exp_avg_sq"], entry["exp_avg_sq"]),
                ):
                    local = into.to_local() if isinstance(into, DTensor) else into
                    local.copy_(part(whole, name, self.mesh))
        self._set_step(int(adam["state"][0]["step"]))

    def _set_step(self, step: int) -> None:
        for entry in self.optimizers[0].state.values():
            entry["step"].fill_(float(step))

    def _llama(self) -> Any:
        assert self.lightning_module is not None
        return self.lightning_module.model


def _plain_groups(optimiser: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """The groups' settings, their parameters by number."""
    groups, number = [], 0
    for group in optimiser.param_groups:
        settings = {key: value for key, value in group.items() if key != "params"}
        groups.append({**settings, "params": list(range(number, number + len(group["params"])))})
        number += len(group["params"])
    return groups
