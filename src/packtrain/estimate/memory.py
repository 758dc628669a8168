"""model shape → bytes of weights, gradients, optimiser and activations, on one GPU of a fully sharded group

Training here keeps fp32 weights and casts to bf16 to compute, so a parameter costs 4 + 4 + 8 = 16 bytes: weight,
gradient and Adam's two moments (the accounting of ZeRO, arXiv 1910.02054, §3.1, without the separate bf16 copy).
"""

from __future__ import annotations

from dataclasses import dataclass

from packtrain.model.config import ModelConfig, parameter_count

WEIGHT_BYTES, GRADIENT_BYTES, OPTIMIZER_BYTES = 4, 4, 8
COMPUTE_BYTES = {"bf16": 2, "fp32": 4}
SAVED_WIDTHS = (
    21.0  # activations kept for the backward, in model widths per token and layer: measured, ffn = 2.75 widths
)
GIB = 2**30


@dataclass(frozen=True)
class Memory:
    """GiB. The first three for the whole model, the last two on each GPU."""

    weights_gib: float
    gradients_gib: float
    optimizer_gib: float
    activations_per_gpu_gib: float
    per_gpu_gib: float


def training_memory(config: ModelConfig, gpus: int, tokens_per_gpu: int, precision: str = "bf16") -> Memory:
    """What training needs with weights, gradients and optimiser sharded over `gpus` and nothing recomputed.

    `tokens_per_gpu`: the tokens of one micro-batch. Not counted: the allocator's fragments, communication buffers and
    the one gathered layer of a sharded model; leave a tenth of the card for them.
    """
    parameters = parameter_count(config)
    weights, gradients, optimizer = (
        parameters * size / GIB for size in (WEIGHT_BYTES, GRADIENT_BYTES, OPTIMIZER_BYTES)
    )
    layers = tokens_per_gpu * config.n_layers * SAVED_WIDTHS * config.dim * COMPUTE_BYTES[precision]
    logits = tokens_per_gpu * config.vocabulary * 2 * 4  # the logits and their gradient, fp32
    activations = (layers + logits) / GIB
    return Memory(weights, gradients, optimizer, activations, (weights + gradients + optimizer) / gpus + activations)
