"""Llama → TensorLlama: the same parameters under the same names, each cut over the tensor mesh

| parameter                        | cut by                     |
|----------------------------------|----------------------------|
| tok_embeddings, output           | vocabulary (rows)          |
| wq, wk, wv, w1, w3               | heads, width (rows)        |
| wo, w2                           | heads, width (columns)     |
| attention_norm, ffn_norm, norm   | not; gradients are summed  |

Parameters are DTensors on the tensor mesh, so that FSDP2 and checkpoints know the whole; layers compute on their local
part with collectives of their own. All parameters are on one mesh, the norms included: clipping needs that.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate, Shard

from packtrain.errors import UserError
from packtrain.model.attention_backends.choose import Backend, choose
from packtrain.model.block import TransformerBlock
from packtrain.model.config import ModelConfig
from packtrain.model.engine import Engine
from packtrain.model.layout import CAUSAL, Layout
from packtrain.model.llama import Llama
from packtrain.model.recompute import runner
from packtrain.model.rope import rope_table
from packtrain.parallel.collectives import gathered, shared
from packtrain.parallel.mesh import Mesh
from packtrain.parallel.tensor_layer import TensorLayer, TensorPlan, autograd_layer, inner
from packtrain.parallel.tensor_loss import embedding, tensor_cross_entropy

COLUMNS = ("attention.wo.weight", "feed_forward.w2.weight")


def tensor_dim(name: str, ndim: int) -> int | None:
    """The dimension along which a parameter is cut, by its name; None: every rank has all of it."""
    return None if ndim == 1 else 1 if name.endswith(COLUMNS) else 0


class TensorLlama(Llama):
    """Tokens (B, T) are whole on every rank, hidden states are its T/t of them; losses and logits are whole again."""

    def __init__(self, config: ModelConfig, compute_dtype: torch.dtype, engine: Engine, mesh: Mesh) -> None:
        super().__init__(config, compute_dtype, engine)
        self.group = mesh.tensor_group
        for layer in self.layers:
            assert isinstance(layer, TransformerBlock)
            _on_local_parts(layer, engine, self.group)
        self.distribute(mesh)

    def distribute(self, mesh: Mesh) -> None:
        """Every parameter (on the meta device: nothing is copied) becomes a DTensor that holds this rank's part."""
        for name, parameter in list(self.named_parameters()):
            dim = tensor_dim(name, parameter.ndim)
            local = parameter.detach()
            if dim is not None:
                local = local.chunk(mesh.degrees.tensor, dim)[mesh.tensor_rank].contiguous()
            placement = Replicate() if dim is None else Shard(dim)
            whole = DTensor.from_local(local, mesh.tensor_mesh, [placement], run_check=False)
            owner, _, leaf = name.rpartition(".")
            setattr(self.get_submodule(owner), leaf, nn.Parameter(whole))

    def forward(self, tokens: Tensor, layout: Layout = CAUSAL) -> Tensor:
        """Logits (B, T, V) fp32 on every rank; a T that the tensor degree does not divide is padded meanwhile."""
        T = tokens.shape[1]
        spare = -T % dist.get_world_size(self.group)
        if spare and layout.documents is not None:
            raise UserError(f"a sequence of {T} tokens with documents is not divisible by parallel.tensor")
        padded = torch.nn.functional.pad(tokens, (0, spare))
        whole = gathered(self.hidden(padded, layout), self.group)[:, :T]
        logits = whole @ _local(self.output.weight).to(whole.dtype).t()  # (B, T, V/t)
        return gathered(logits.transpose(1, 2), self.group).transpose(1, 2).float()

    def loss(self, tokens: Tensor, targets: Tensor, layout: Layout = CAUSAL) -> Tensor:
        return tensor_cross_entropy(self.hidden(tokens, layout), _local(self.output.weight), targets, self.group)

    def hidden(self, tokens: Tensor, layout: Layout = CAUSAL) -> Tensor:
        """tokens (B, T) → this rank's (B, T/t, C) in the compute dtype."""
        B, T = tokens.shape
        t = dist.get_world_size(self.group)
        if T % t or (self.config.max_sequence_length < T and self.config.max_sequence_length % t == 0):
            raise UserError(
                f"a sequence of {T} tokens: parallel.tensor={t} needs a multiple of itself, of at most "
                f"model.max_sequence_length={self.config.max_sequence_length} tokens"
            )
        layout.check(B, T)
        backend = choose(self.engine.attention, tokens.device.type)
        rope = rope_table(layout.positions(T, tokens.device), self.config.head_dim, self.config.rope_theta)
        h = embedding(tokens, _local(self.tok_embeddings.weight), self.group, self.compute_dtype)
        for layer in self.layers:
            h = layer(h, rope, layout, backend)
        weight = shared(_local(self.norm.weight), self.group)
        return nn.functional.rms_norm(h.float(), weight.shape, weight.float(), self.norm.eps).to(h.dtype)


def _on_local_parts(layer: TransformerBlock, engine: Engine, group: Any) -> None:
    """Has the layer run on its local weights, under the same recompute policy."""
    D, eps = layer.attention.head_dim, layer.attention_norm.eps
    recorded = runner(engine, autograd_layer) if engine.recompute != "manual" else None
    functions = inner(engine.compiler if engine.compile else None)

    def plain(x: Tensor, rope: Tensor, layout: Layout, backend: Backend) -> Tensor:
        return autograd_layer(x, rope, layout, backend, group, D, eps, *map(_local, layer.weights()))

    def train(x: Tensor, rope: Tensor, layout: Layout, backend: Backend) -> Tensor:
        weights = map(_local, layer.weights())
        if recorded is not None:
            return recorded(x, rope, layout, backend, group, D, eps, *weights)
        return TensorLayer.apply(x, rope, TensorPlan(group, D, eps, backend, layout, functions), *weights)  # pyright: ignore[reportReturnType]

    layer.plain, layer.recorded = plain, train


def _local(parameter: Tensor) -> Tensor:
    """This rank's part of a DTensor, under autograd."""
    return parameter.to_local() if isinstance(parameter, DTensor) else parameter
