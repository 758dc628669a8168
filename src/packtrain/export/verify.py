"""source and export, one block at a time, on real text → the difference of their logits, the KL divergence per token

    hidden = embedding;  for each layer: source's block on its own hidden, export's block on its own;  then the logits

The export's side is computed here anew from the format's definition (Hugging Face turns dimension i with i + D/2, Meta
and llama.cpp neighbours), not by the model that wrote it: rows left unmoved are seen. Never more than one layer of
each, or one embedding, is in memory.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from packtrain.errors import Failure
from packtrain.export.shapes import LAYER_PARTS, Tensors
from packtrain.model.attention_backends.choose import choose
from packtrain.model.block import TransformerBlock
from packtrain.model.config import ModelConfig
from packtrain.model.engine import Engine
from packtrain.model.layout import CAUSAL
from packtrain.model.norm import RMSNorm
from packtrain.model.rope import rope_table

Rotation = Literal["neighbours", "halves"]
LOGITS_LIMIT = 1e-4
KL_LIMITS = {"bf16": 1e-2, "fp16": 1e-3, "q8_0": 1e-2, "q4_0": 0.2}  # nats a token
ROWS = 8192  # of the vocabulary at a time


@dataclass(frozen=True)
class Comparison:
    """logits: the largest absolute difference. kl: mean KL(source ‖ export), nats a token. Over `tokens` positions."""

    tokens: int
    logits: float
    kl: float

    def check(self, precision: str) -> str:
        """A line that says how near the export is; `Failure` where it is too far for its precision."""
        if precision == "fp32":
            line = f"largest difference of a logit {self.logits:.1e} (limit {LOGITS_LIMIT:.0e})"
            good = self.logits <= LOGITS_LIMIT
        else:
            limit = KL_LIMITS[precision]
            line = f"KL divergence {self.kl:.1e} nats a token (limit {limit:g})"
            good = self.kl <= limit
        line = f"checked on {self.tokens} tokens of text, block by block: {line}"
        if not good:
            raise Failure(f"the export is not the model: {line}; nothing was written")
        return line


@torch.inference_mode()
def compare(
    source: Tensors,
    export: Tensors,
    config: ModelConfig,
    tokens: Tensor,
    rotation: Rotation,
    names: Callable[[str], str] = lambda name: name,
) -> Comparison:
    """Runs `tokens` (T,) through both. `names` gives the export's name of one of ours."""
    T = tokens.shape[0]
    cos, sin = rope_table(torch.arange(T), config.head_dim, config.rope_theta).unbind(-1)  # (T, D/2) each
    ours = F.embedding(tokens, source["tok_embeddings.weight"].float())[None]  # (1, T, C)
    theirs = F.embedding(tokens, export[names("tok_embeddings.weight")].float())  # (T, C)
    for i in range(config.n_layers):
        ours = source_block(source, i, config)(ours)
        gc.collect()  # a layer refers to itself, so its weights would stay until somebody looks
        weights = [export[names(f"layers.{i}.{part}")].float() for part in LAYER_PARTS]
        theirs = block(theirs, weights, cos, sin, config, rotation)
        del weights
    norm = RMSNorm(config.dim, config.norm_eps)
    norm.load_state_dict({"weight": source["norm.weight"].float()})
    ours_logits = logits(norm(ours)[0], source["output.weight"])
    theirs = normalised(theirs, export[names("norm.weight")].float(), config.norm_eps)
    theirs_logits = logits(theirs, export[names("output.weight")])
    p, q = (x.double().log_softmax(-1) for x in (ours_logits, theirs_logits))
    kl = float((p.exp() * (p - q)).sum(-1).mean())
    return Comparison(T, float((ours_logits - theirs_logits).abs().max()), max(0.0, kl))


def source_block(source: Tensors, i: int, config: ModelConfig) -> Callable[[Tensor], Tensor]:
    """Layer i of the source as the model computes it: (1, T, C) → the same."""
    with torch.device("meta"):
        layer = TransformerBlock(config, Engine())
    layer.load_state_dict({part: source[f"layers.{i}.{part}"].float() for part in LAYER_PARTS}, assign=True)

    def run(x: Tensor) -> Tensor:
        rope = rope_table(torch.arange(x.shape[1]), config.head_dim, config.rope_theta)
        return layer(x, rope, CAUSAL, choose("auto", "cpu"))

    return run


def block(
    x: Tensor, weights: list[Tensor], cos: Tensor, sin: Tensor, config: ModelConfig, rotation: Rotation
) -> Tensor:
    """One layer of a LLaMA written down from the formats' definition, in fp32: (T, C) → (T, C)."""
    T, D = x.shape[0], config.head_dim
    norm_1, wq, wk, wv, wo, norm_2, w1, w2, w3 = weights
    n = normalised(x, norm_1, config.norm_eps)
    q, k, v = ((n @ w.T).view(T, -1, D).transpose(0, 1) for w in (wq, wk, wv))  # (H, T, D)
    q, k = rotated(q, cos, sin, rotation), rotated(k, cos, sin, rotation)
    k, v = (t.repeat_interleave(config.n_heads // config.kv_heads, dim=0) for t in (k, v))
    scores = q @ k.transpose(1, 2) / math.sqrt(D)  # (H, T, T)
    scores = scores.masked_fill(torch.ones(T, T, dtype=torch.bool).triu(1), float("-inf"))
    heads = (scores.softmax(-1) @ v).transpose(0, 1).reshape(T, -1)
    h = x + heads @ wo.T
    n = normalised(h, norm_2, config.norm_eps)
    return h + (F.silu(n @ w1.T) * (n @ w3.T)) @ w2.T


def rotated(x: Tensor, cos: Tensor, sin: Tensor, rotation: Rotation) -> Tensor:
    """(H, T, D) with every pair turned; which dimensions are a pair is the format's choice."""
    halves = rotation == "halves"
    a, b = x.chunk(2, dim=-1) if halves else (x[..., 0::2], x[..., 1::2])
    turned = (a * cos - b * sin, a * sin + b * cos)
    return torch.cat(turned, -1) if halves else torch.stack(turned, -1).flatten(-2)


def normalised(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


def logits(x: Tensor, output: Tensor) -> Tensor:
    """x (T, C) → (T, V), some rows of the matrix at a time."""
    return torch.cat([x @ rows.float().T for rows in output.split(ROWS)], dim=-1)
