"""mesh → Llama or TensorLlama on the meta device → FSDP2 per layer → memory for this rank's shards → their values

A layer's shards are gathered before it runs and dropped after; meanwhile the next layer's are under way. Gradients are
averaged in fp32 and cut into shards as soon as a layer's backward is done, at the last micro-batch of a step alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from packtrain.model.config import ModelConfig
from packtrain.model.engine import Engine
from packtrain.model.initialisation import standard_deviation, tensor_seed
from packtrain.model.llama import Llama
from packtrain.parallel.mesh import Mesh
from packtrain.parallel.tensor_model import TensorLlama, tensor_dim


def shard_model(config: ModelConfig, dtype: torch.dtype, engine: Engine, mesh: Mesh) -> Llama:
    """The wrapped model on the meta device; `to_empty` gives it memory, `fill` or a checkpoint its values.

    With `dtype` bf16 parameters are gathered and computed with in bf16, gradients reduced in fp32, and the shards that
    the optimiser sees are fp32.
    """
    with torch.device("meta"):
        if mesh.degrees.tensor > 1:
            model: Llama = TensorLlama(config, dtype, engine, mesh)
        else:
            model = Llama(config, dtype, engine)
    # Inputs are not cast: rotary angles stay fp32, hidden states are in the compute dtype already.
    policy = MixedPrecisionPolicy(
        param_dtype=None if dtype is torch.float32 else dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    options: dict[str, Any] = {"mesh": mesh.data_mesh, "mp_policy": policy}
    layers = [fully_shard(layer, **options) for layer in model.layers]
    # Without this the tables would stay gathered after a validation, and be saved and optimised as such.
    fully_shard(model, reshard_after_forward=True, **options)
    register_fsdp_forward_method(model, "loss")
    for before, after in pairwise(layers):
        before.set_modules_to_forward_prefetch([after])
        after.set_modules_to_backward_prefetch([before])
    return model


def last_micro_batch(model: torch.nn.Module, last: bool) -> None:
    """Says before a micro-batch whether its backward is to reduce the gradients of the step."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(last)


@torch.no_grad()
def fill(model: Llama, seed: int, mesh: Mesh) -> Llama:
    """`model.initialisation.initialise` for shards: the same weights on any mesh, each tensor drawn once in the world.

    In turns of as many tensors as there are ranks, each rank draws one on its CPU and sends it to all, which keep
    their part. At any time a rank holds two whole tensors.
    """
    rank, world = dist.get_rank(), dist.get_world_size()
    parameters = list(model.named_parameters())
    device = parameters[0][1].device
    for start in range(0, len(parameters), world):
        turn = parameters[start : start + world]
        own = _draw(*turn[rank], seed, model.config.n_layers) if rank < len(turn) else None
        for source, (name, parameter) in enumerate(turn):
            if parameter.ndim == 1:
                _local(parameter).fill_(1.0)
                continue
            if source == rank and own is not None:
                whole = own.to(device)
            else:
                whole = torch.empty(parameter.shape, device=device)
            dist.broadcast(whole, source)
            _local(parameter).copy_(part(whole, name, mesh))
    return model


@torch.no_grad()
def take(model: Llama, weights: Mapping[str, Tensor], mesh: Mesh) -> Llama:
    """Fills this rank's shards from whole tensors by name."""
    for name, parameter in model.named_parameters():
        _local(parameter).copy_(part(weights[name], name, mesh))
    return model


def part(whole: Tensor, name: str, mesh: Mesh) -> Tensor:
    """What this rank holds of a parameter: first cut over the tensor mesh, then its rows over the shard mesh."""
    dim = tensor_dim(name, whole.ndim)
    local = whole if dim is None else whole.chunk(mesh.degrees.tensor, dim)[mesh.tensor_rank]
    rows = local.chunk(mesh.degrees.shard, 0)
    return rows[mesh.shard_rank] if mesh.shard_rank < len(rows) else local[:0]


def _draw(name: str, parameter: Tensor, seed: int, n_layers: int) -> Tensor:
    generator = torch.Generator(device="cpu").manual_seed(tensor_seed(seed, name))
    empty = torch.empty(parameter.shape, dtype=torch.float32)
    return empty.normal_(0.0, standard_deviation(name, n_layers), generator=generator)


def _local(parameter: Tensor) -> Tensor:
    return parameter.to_local() if isinstance(parameter, DTensor) else parameter
