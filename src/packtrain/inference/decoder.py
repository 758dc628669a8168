"""Llama → Decoder: prompts in once, then one token a row and step, keys and values kept

    prefill   prompts of different lengths side by side (B, T) → the cache, logits of each row's last token (B, V)
    step      one new token a row (B,) → logits (B, V); every row writes at its own position

wq, wk, wv are one matrix here, and w1, w3: at batch 1 a step is reading weights, and one large product reads them
faster than three. The cache is allocated once. Norms and rotations are fp32, as in training. The switches of the
architecture are resolved in the constructor, as in the model.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from packtrain.inference.layer import Layer, read_layer
from packtrain.inference.matrices import ACTIVATIONS, Matrix, Precision, matrix
from packtrain.model.config import ModelConfig
from packtrain.model.feed_forward import activation
from packtrain.model.llama import Llama
from packtrain.model.norm import NORMS, as_is
from packtrain.model.positions import check_length, make_positions, turning
from packtrain.model.rope import turn

ROUNDED = 256  # the length of a compiled step's cache is a multiple of so many tokens


class Decoder(nn.Module):
    """A model made ready to generate. `reset` gives it a cache; `prefill` and `step` fill it.

    embedding (V, C): a table, never quantised; norm (C,); output: a matrix; table: that of learned positions.
    """

    embedding: Tensor
    norm: Tensor
    keys: Tensor
    values: Tensor
    table: Tensor

    def __init__(
        self, config: ModelConfig, precision: Precision, layers: list[Layer], embedding: Tensor, norm: Tensor,
        output: Matrix, table: Tensor | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.config, self.precision = config, precision
        self.dtype = ACTIVATIONS[precision]
        self.layers, self.stack = nn.ModuleList(layers), layers
        self.register_buffer("embedding", embedding)
        self.register_buffer("norm", norm)
        self.output = output
        self.activation, self.turning = activation(config), turning(config)
        norm_of: Callable[[Tensor, Tensor], Tensor] = functools.partial(NORMS[config.norm], eps=config.norm_eps)
        self.normalised = norm_of
        self.before, self.behind = (norm_of, as_is) if config.norm_placement == "pre" else (as_is, norm_of)
        self.positions = make_positions(config)
        if table is not None:
            self.positions.weight = nn.Parameter(table, requires_grad=False)
        self.lengths = torch.zeros(0, dtype=torch.long)
        self.keys = self.values = torch.zeros(0)
        self.compiled: Callable[..., Tensor] | None = None
        self.alive: Tensor | None = None  # the rows of a compiled step that are still asked for; None: all

    @property
    def device(self) -> torch.device:
        return self.embedding.device

    @classmethod
    def of(cls, model: Llama, precision: Precision) -> Decoder:
        """The matrices of `model`; fp32 shares what is not put together with it."""
        return cls.read(dict(model.named_parameters()), model.config, precision, model.output.weight.device)

    @classmethod
    @torch.no_grad()
    def read(
        cls, tensors: Mapping[str, Tensor], config: ModelConfig, precision: Precision, device: torch.device | str
    ) -> Decoder:
        """From weights under Meta's names, asked for layer by layer: none stays in memory but in `precision`."""

        def get(name: str) -> Tensor:
            return tensors[f"{name}.weight"].detach().to(device)

        gated = config.feed_forward == "swiglu"
        layers = [
            read_layer(lambda part, i=i: get(f"layers.{i}.{part}"), precision, gated) for i in range(config.n_layers)
        ]
        embedding = get("tok_embeddings").to(ACTIVATIONS[precision])
        output = matrix(get("tok_embeddings" if config.tied_embeddings else "output"), precision)
        table = get("positions") if config.positions == "learned" else None
        return cls(config, precision, layers, embedding, get("norm"), output, table).eval()

    def compile_step(self) -> None:
        """From now on `step` is one compiled graph of fixed shapes, on CUDA a CUDA graph.

        It looks at the whole cache, whose length is rounded up and whose finished rows stay, so that no shape changes:
        another number of rows, or more than 256 tokens more, compiles anew (half a minute).
        """
        mode = "reduce-overhead" if self.device.type == "cuda" else "default"
        self.compiled = torch.compile(self._fixed_step, fullgraph=True, dynamic=False, mode=mode)

    def reset(self, rows: int, length: int) -> None:
        """An empty cache for `rows` sequences of up to `length` tokens: 2 · layers · kv width numbers for each."""
        config, device = self.config, self.device
        check_length(config, length)
        if self.compiled is not None:
            length = ROUNDED * -(-length // ROUNDED)
        shape = (config.n_layers, rows, config.kv_heads, length, config.head_dim)
        self.alive = None
        if self.compiled is None or self.keys.shape != shape:  # a CUDA graph knows its cache by its address
            self.keys = torch.zeros(shape, dtype=self.dtype, device=device)
            self.values = torch.zeros(shape, dtype=self.dtype, device=device)
            if self.compiled is not None:
                torch._dynamo.mark_static_address(self.keys)
                torch._dynamo.mark_static_address(self.values)
        self.lengths = torch.zeros(rows, dtype=torch.long, device=device)
        self.table = self.turning(torch.arange(length, device=device))

    @torch.inference_mode()
    def prefill(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """tokens (B, T), row b filled up behind its lengths[b] tokens with anything → logits (B, V) fp32.

        What fills a row up is written to the cache, too, but a later token overwrites it before anyone may see it.
        """
        x = self._read(tokens)
        self.lengths = lengths.to(self.device)
        last = x[torch.arange(len(tokens), device=x.device), self.lengths - 1]
        return self._logits(last)

    @torch.inference_mode()
    def logits(self, tokens: Tensor) -> Tensor:
        """tokens (B, T) → logits of every position (B, T, V) fp32; for scoring a text."""
        self.reset(*tokens.shape)
        return self._logits(self._read(tokens))

    def _read(self, tokens: Tensor) -> Tensor:
        """tokens (B, T) → the last layer's output (B, T, C); their keys and values go into the cache."""
        T = tokens.shape[1]
        x = self.positions(F.embedding(tokens, self.embedding), torch.arange(T, device=tokens.device))
        rope = self.table[:T]
        for i, layer in enumerate(self.stack):
            q, k, v = self._heads(layer, x, rope)
            self.keys[i, :, :, :T], self.values[i, :, :, :T] = k, v
            heads = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=k.shape[1] != q.shape[1])
            x = self._leave(layer, x, heads)
        return x

    @torch.inference_mode()
    def step(self, tokens: Tensor) -> Tensor:
        """tokens (B,) → logits (B, V) fp32."""
        if self.compiled is not None:
            return self._compiled_step(self.compiled, tokens)
        at = self.lengths
        B, n = tokens.shape[0], int(at.max()) + 1
        x = self.positions(F.embedding(tokens[:, None], self.embedding), at[:, None])  # (B, 1, C)
        rope = self.table[at][:, None]  # (B, 1, D/2, 2)
        rows = torch.arange(B, device=x.device)
        even = bool((at == at[0]).all())
        mask = None if even else (torch.arange(n, device=x.device) <= at[:, None])[:, None, None]  # (B, 1, 1, n)
        for i, layer in enumerate(self.stack):
            q, k, v = self._heads(layer, x, rope)
            keys, values = self.keys[i], self.values[i]
            if even:
                keys[:, :, n - 1], values[:, :, n - 1] = k[:, :, 0], v[:, :, 0]
            else:
                keys[rows, :, at], values[rows, :, at] = k[:, :, 0], v[:, :, 0]
            heads = F.scaled_dot_product_attention(
                q, keys[:, :, :n], values[:, :, :n], attn_mask=mask, enable_gqa=k.shape[1] != q.shape[1]
            )
            x = self._leave(layer, x, heads)
        self.lengths = at + 1
        return self._logits(x[:, 0])

    @torch.inference_mode()
    def hidden(self, tokens: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """tokens, positions (B, T), mask (B, T, T), True where a token sees another → last layer's output (B, T, C).

        Without a cache: sequences that share a beginning may stand in one row (`evaluation.tasks.packing`).
        """
        x = self.positions(F.embedding(tokens, self.embedding), positions)
        rope = self.turning(positions)
        seen = torch.zeros(mask.shape, dtype=self.dtype, device=x.device).masked_fill_(~mask, -torch.inf)[:, None]
        for layer in self.stack:
            q, k, v = self._heads(layer, x, rope)
            heads = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, enable_gqa=k.shape[1] != q.shape[1])
            x = self._leave(layer, x, heads)
        return x

    @torch.inference_mode()
    def logits_of(self, hidden: Tensor) -> Tensor:
        """What `hidden` gives, (…, C) → logits (…, V) fp32."""
        return self._logits(hidden)

    def _compiled_step(self, compiled: Callable[..., Tensor], tokens: Tensor) -> Tensor:
        """Rows that have finished go on with some token, unseen, at their last place."""
        if self.alive is not None:
            every = torch.zeros_like(self.lengths)
            every[self.alive] = tokens
            tokens = every
        rope = self.table[self.lengths][:, None]
        logits = compiled(tokens, self.lengths, rope, self.keys, self.values)
        if self.alive is None:
            self.lengths = self.lengths + 1
            return logits.clone()  # the graph's own memory is written again by the next step
        self.lengths = self.lengths.index_add(0, self.alive, torch.ones_like(self.alive))
        return logits[self.alive]

    def _fixed_step(self, tokens: Tensor, at: Tensor, rope: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """`step` without a shape that depends on where the rows are: (B,), (B,), (B, 1, D/2, 2) → (B, V)."""
        x = self.positions(F.embedding(tokens[:, None], self.embedding), at[:, None])  # (B, 1, C)
        rows = torch.arange(x.shape[0], device=x.device)
        mask = (torch.arange(keys.shape[3], device=x.device) <= at[:, None])[:, None, None]  # (B, 1, 1, length)
        for i, layer in enumerate(self.stack):
            q, k, v = self._heads(layer, x, rope)
            keys[i, rows, :, at], values[i, rows, :, at] = k[:, :, 0], v[:, :, 0]
            heads = F.scaled_dot_product_attention(
                q, keys[i], values[i], attn_mask=mask, enable_gqa=k.shape[1] != q.shape[1]
            )
            x = self._leave(layer, x, heads)
        return self._logits(x[:, 0])

    def keep(self, rows: Tensor) -> None:
        """Drops all rows of the cache but `rows`: those that have not finished."""
        if self.compiled is not None:
            self.alive = rows if self.alive is None else self.alive[rows]
            return
        self.keys, self.values = self.keys[:, rows], self.values[:, rows]
        self.lengths = self.lengths[rows]

    def _heads(self, layer: Layer, x: Tensor, rope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, T, C) → rotated q (B, H, T, D), rotated k and v (B, Hkv, T, D)."""
        config = self.config
        B, T, _ = x.shape
        joined = layer.qkv(self.before(x, layer.attention_norm)).view(B, T, -1, config.head_dim)
        qk, v = joined.split([config.n_heads + config.kv_heads, config.kv_heads], dim=2)
        q, k = turn(qk, rope, backwards=False).split([config.n_heads, config.kv_heads], dim=2)
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)

    def _leave(self, layer: Layer, x: Tensor, heads: Tensor) -> Tensor:
        """The attention's output (B, H, T, D) → wo, residual, feed-forward, residual."""
        h = self.behind(x + layer.wo(heads.transpose(1, 2).reshape(*x.shape[:2], -1)), layer.attention_norm)
        inner = self.activation(layer.w13(self.before(h, layer.ffn_norm)))
        return self.behind(h + layer.w2(inner), layer.ffn_norm)

    def _logits(self, x: Tensor) -> Tensor:
        return self.output(self.normalised(x, self.norm)).float()
