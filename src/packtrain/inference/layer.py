"""the tensors of a layer → four matrices and two norms: wq, wk, wv in one, w1 and, where there is a gate, w3 in one"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from packtrain.inference.matrices import Matrix, Precision, matrix


class Layer(nn.Module):
    """The matrices of one layer in their precision."""

    attention_norm: Tensor
    ffn_norm: Tensor

    def __init__(self, attention_norm: Tensor, ffn_norm: Tensor, qkv: Matrix, wo: Matrix, w13: Matrix, w2: Matrix):
        super().__init__()
        self.register_buffer("attention_norm", attention_norm)
        self.register_buffer("ffn_norm", ffn_norm)
        self.qkv, self.wo, self.w13, self.w2 = qkv, wo, w13, w2


def read_layer(get: Callable[[str], Tensor], precision: Precision, gated: bool = True) -> Layer:
    """`get` gives a weight by its name within the layer, `attention.wq`; it is forgotten when it is in `precision`."""

    def joined(*names: str) -> Matrix:
        found = [get(name) for name in names]
        return matrix(found[0] if len(found) == 1 else torch.cat(found), precision)

    return Layer(
        get("attention_norm"),
        get("ffn_norm"),
        joined("attention.wq", "attention.wk", "attention.wv"),
        joined("attention.wo"),
        joined("feed_forward.w1", *(["feed_forward.w3"] if gated else [])),
        joined("feed_forward.w2"),
    )
