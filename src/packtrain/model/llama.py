"""tokens → tok_embeddings → positions → block × n_layers → norm → output → logits, or straight to the loss"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from packtrain.errors import UserError
from packtrain.model.attention_backends.choose import choose
from packtrain.model.block import TransformerBlock
from packtrain.model.config import ModelConfig
from packtrain.model.engine import Engine
from packtrain.model.layout import CAUSAL, Layout
from packtrain.model.linear import Embedding, Linear, TiedLinear
from packtrain.model.loss import linear_cross_entropy
from packtrain.model.norm import make_norm
from packtrain.model.positions import make_positions, turning


class Llama(nn.Module):
    """LLaMA (Touvron et al., 2023, arXiv 2302.13971, §2): tokens (B, T) int64 → logits (B, T, V) fp32.

    Parameters are always fp32; linear layers and the residual stream compute in `compute_dtype` by explicit casts,
    norms and rotations in fp32. `engine` chooses kernels and what is kept for the backward. Parameter names are those
    of Meta's release. The architecture's switches (`config.SWITCHES`) are resolved here and in the block's constructor.
    The weights are uninitialised until `initialisation.initialise` or a checkpoint fills them; under
    `torch.device("meta")` they take no memory.
    """

    def __init__(
        self, config: ModelConfig, compute_dtype: torch.dtype = torch.float32, engine: Engine | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype = compute_dtype
        self.engine = (engine or Engine()).suited(config)
        self.tok_embeddings = Embedding(config.vocabulary, config.dim, compute_dtype)
        self.positions, self.turning = make_positions(config), turning(config)
        self.layers = nn.ModuleList(TransformerBlock(config, self.engine) for _ in range(config.n_layers))
        self.norm = make_norm(config)
        tied = config.tied_embeddings
        self.output = TiedLinear(self.tok_embeddings) if tied else Linear(config.dim, config.vocabulary)

    def forward(self, tokens: Tensor, layout: Layout = CAUSAL) -> Tensor:
        """Logits of the next token at every position. A sequence longer than the model's is a `UserError`."""
        return self.output(self.hidden(tokens, layout)).float()  # (B, T, C) → (B, T, V)

    def loss(self, tokens: Tensor, targets: Tensor, layout: Layout = CAUSAL, counted: Tensor | None = None) -> Tensor:
        """Mean negative log-likelihood of `targets` (B, T), nats a token, without the logits of the whole batch.

        `counted` (n,) int64: the mean is over these of the B·T targets alone; the others have no part in anything.
        """
        compiler = self.engine.compiler if self.engine.compile else None
        hidden = self.hidden(tokens, layout)
        if counted is not None:
            hidden, targets = hidden.flatten(0, 1).index_select(0, counted), targets.flatten().index_select(0, counted)
        return linear_cross_entropy(hidden, self.output.weight, targets, compiler=compiler)

    def hidden(self, tokens: Tensor, layout: Layout = CAUSAL) -> Tensor:
        """What `output` reads: tokens (B, T) → (B, T, C) in the compute dtype."""
        B, T = tokens.shape
        if self.config.max_sequence_length < T:
            raise UserError(
                f"a sequence of {T} tokens is longer than the model's max_sequence_length="
                f"{self.config.max_sequence_length}; shorten it (data.sequence_length) or build a longer model"
            )
        layout.check(B, T)
        backend = choose(self.engine.attention, tokens.device.type)
        positions = layout.positions(T, tokens.device)
        rope = self.turning(positions)
        h = self.positions(self.tok_embeddings(tokens), positions)  # (B, T) → (B, T, C)
        for layer in self.layers:
            h = layer(h, rope, layout, backend)
        return self.norm(h)
