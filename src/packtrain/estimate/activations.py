"""recompute policy → bytes a layer keeps for its backward, and bytes its backward needs while it runs

Counted tensor by tensor in the code (`model/manual.py`, `model/recompute.py`; docs/backward.md), and held against
counted storages in tests/estimate/test_memory.py. C model width, K key/value width, F feed-forward width, H heads;
all a token, in numbers of the compute dtype unless said otherwise.

    manual     x, q, out, h: C each; k, v: K; gate, up: F; log-sum-exp: H of fp32            4 C + 2 K + 2 F
    selective  x and the outputs of wq, wk, wv, attention, wo, w1, w3, w2                    5 C + 2 K + 2 F
    full       x                                                                             C
    none       also both norms' outputs and fp32 inputs, silu(gate), silu(gate) ⊙ up

`manual` is of LLaMA's layer; a model with another norm, placement or feed-forward has `none` in its place. Without a
gate, w1's output and its activation: 2 F (ReLU's derivative needs the activation alone: F).
"""

from __future__ import annotations

from packtrain.model.config import ModelConfig

LSE_BYTES = 4
INNER = {"swiglu": 4, "gelu": 2, "relu": 1}  # numbers of F that autograd keeps of a feed-forward


def widths(config: ModelConfig) -> tuple[int, int, int]:
    """C, K, F."""
    return config.dim, config.kv_heads * config.head_dim, config.hidden_dim


def saved_bytes(config: ModelConfig, recompute: str, size: int, fused_norm: bool) -> float:
    """Bytes a token and layer between forward and backward; `size`: bytes of the compute dtype.

    `fused_norm`: the norm keeps its input alone (CUDA's kernel); PyTorch's CPU norm keeps the normalised input too.
    """
    C, K, F = widths(config)
    lse, recompute = LSE_BYTES * config.n_heads, config.recompute(recompute)
    if recompute == "full":
        return size * C
    if recompute == "manual":
        return size * (4 * C + 2 * K + 2 * F) + lse
    if recompute == "selective":
        return size * (5 * C + 2 * K + (config.ffn_matrices - 1) * F) + lse
    norm_input = 0 if size == 4 else 4 * C  # fp32 copy; fp32 compute shares the residual stream itself
    norm = norm_input + (0 if fused_norm or config.norm == "layer" else 4 * C) + size * C
    stream = 2 * size * C if size == 4 else 0  # x and h, kept as inputs of the norms
    return stream + 2 * norm + size * (2 * C + 2 * K + INNER[config.feed_forward] * F) + lse


def weight_copies(config: ModelConfig, recompute: str, size: int) -> float:
    """Bytes of one layer's weights that autograd keeps in the compute dtype; by hand they are cast again."""
    C, K, F = widths(config)
    kept = config.recompute(recompute) == "none" and size != 4
    return size * (2 * C * C + 2 * C * K + config.ffn_matrices * C * F) if kept else 0.0


def backward_bytes(config: ModelConfig, recompute: str, size: int, fused_norm: bool) -> float:
    """Bytes a token that a layer's backward holds beside what was saved: gradients on their way, things made again."""
    C, _, F = widths(config)
    recompute = config.recompute(recompute)
    if recompute == "manual":
        return size * (4 * C + 3 * F) if size == 4 else size * (C + 3 * F) + 12 * C
    if recompute == "selective":
        return size * (6 * C + 3 * F) if size == 4 else size * (3 * C + 3 * F) + 8 * C
    plain = size * 2 * F
    if recompute == "none":
        return plain
    again = saved_bytes(config, "none", size, fused_norm) - size * C
    return again + plain
