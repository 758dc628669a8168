"""tokens → tok_embeddings → block × n_layers → norm → output → logits"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from packtrain.errors import UserError
from packtrain.model.block import TransformerBlock
from packtrain.model.config import ModelConfig
from packtrain.model.linear import Embedding, Linear
from packtrain.model.norm import RMSNorm
from packtrain.model.rope import rope_table


class Llama(nn.Module):
    """LLaMA (Touvron et al., 2023, arXiv 2302.13971, §2): tokens (B, T) int64 → logits (B, T, V) fp32.

    Parameters are always fp32; linear layers and the residual stream compute in `compute_dtype` by explicit casts,
    norms and rotations in fp32. Parameter names are those of Meta's release. The weights are uninitialised until
    `initialisation.initialise` or a checkpoint fills them; under `torch.device("meta")` they take no memory.
    """

    def __init__(self, config: ModelConfig, compute_dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype = compute_dtype
        self.tok_embeddings = Embedding(config.vocabulary, config.dim, compute_dtype)
        self.layers = nn.ModuleList(TransformerBlock(config) for _ in range(config.n_layers))
        self.norm = RMSNorm(config.dim, config.norm_eps)
        self.output = Linear(config.dim, config.vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the next token at every position. A sequence longer than the model's is a `UserError`."""
        T = tokens.shape[1]
        if self.config.max_sequence_length < T:
            raise UserError(
                f"a sequence of {T} tokens is longer than the model's max_sequence_length="
                f"{self.config.max_sequence_length}; shorten it (data.sequence_length) or build a longer model"
            )
        rope = rope_table(torch.arange(T, device=tokens.device), self.config.head_dim, self.config.rope_theta)
        h = self.tok_embeddings(tokens)  # (B, T) → (B, T, C)
        for layer in self.layers:
            h = layer(h, rope)
        return self.output(self.norm(h)).float()  # (B, T, C) → (B, T, V)
