"""ModelConfig → (name, shape) of every tensor, in the order of the forward pass

The names are Meta's, which are ours; every format's own names are derived from them by its file. Weights travel as a
`Tensors`: a mapping that reads one tensor when it is asked for, so that a 65B model never stands in memory.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from packtrain.errors import UserError
from packtrain.model.config import ModelConfig

Tensors = Mapping[str, Tensor]
LAYER_PARTS: tuple[str, ...] = (
    "attention_norm.weight", "attention.wq.weight", "attention.wk.weight", "attention.wv.weight", "attention.wo.weight",
    "ffn_norm.weight", "feed_forward.w1.weight", "feed_forward.w2.weight", "feed_forward.w3.weight",
)  # fmt: skip


def layer_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Part of a layer → shape, without the prefix `layers.i.`."""
    C, F, kv = config.dim, config.hidden_dim, config.kv_heads * config.head_dim
    shapes = ((C,), (C, C), (kv, C), (kv, C), (C, C), (C,), (F, C), (C, F), (F, C))
    parts = LAYER_PARTS if config.feed_forward == "swiglu" else LAYER_PARTS[:-1]  # without a gate there is no w3
    return dict(zip(parts, shapes, strict=False))


def tensor_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor of the model → its shape: tok_embeddings, learned positions, the layers in order, norm, output."""
    table = (config.vocabulary, config.dim)
    shapes: dict[str, tuple[int, ...]] = {"tok_embeddings.weight": table}
    if config.positions == "learned":
        shapes["positions.weight"] = (config.max_sequence_length, config.dim)
    for i in range(config.n_layers):
        shapes |= {f"layers.{i}.{part}": shape for part, shape in layer_shapes(config).items()}
    output = {} if config.tied_embeddings else {"output.weight": table}
    return shapes | {"norm.weight": (config.dim,)} | output


def check_shapes(found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]], where: object) -> None:
    """Raises `UserError` where a tensor is missing or has another shape than the configuration gives it."""
    missing = [name for name in expected if name not in found]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"{where}: the tensor {missing[0]} is missing{more}; is a file of the checkpoint missing?")
    for name, shape in expected.items():
        if tuple(found[name]) != tuple(shape):
            raise UserError(
                f"{where}: {name} has shape {tuple(found[name])}, the configuration says {tuple(shape)}: "
                "the weights and the configuration are of different models"
            )
    if unknown := sorted(set(found) - set(expected)):
        raise UserError(
            f"{where}: holds {unknown[0]}, which a LLaMA of this configuration does not have: "
            "only plain LLaMA checkpoints can be read"
        )


def check_numbers(tensor: Tensor, name: str, where: object) -> None:
    """Raises `UserError` for whole numbers: weights that another program has quantised."""
    if not tensor.is_floating_point():
        kind = str(tensor.dtype).removeprefix("torch.")
        raise UserError(f"{where}: {name} holds {kind}: a quantised checkpoint cannot be read; take the original one")
