"""model → bytes of its weights by precision and of its key/value cache → GPUs to serve it, tokens/s it decodes

weights     fp32 4, bf16 2, int8 1, int4 ½ byte a parameter; quantised: matrices only, with scales; the input
            embedding and the norms stay bf16
cache       2 · layers · key/value width · bytes, a token
decoding    a step reads all weights and the caches of all sequences once: memory-bound, so
            tokens/s = sequences / max((weights + caches) / bandwidth, 2 N · sequences / peak)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from packtrain.errors import UserError, did_you_mean
from packtrain.estimate.hardware import Gpu
from packtrain.estimate.speed import BANDWIDTH_SHARE, FITTED
from packtrain.model.config import ModelConfig, parameter_count

PRECISIONS = ("fp32", "bf16", "int8", "int4")
GROUP = 128  # parameters of an int4 group, which share a scale and a zero point of 2 bytes each
USABLE = 0.9  # of a GPU's memory for weights and caches


@dataclass(frozen=True)
class Serving:
    """Bytes (10⁹ = 1 GB) of weights and of `sequences` caches of `context` tokens; `gpus` that hold both."""

    precision: str
    weights: float
    cache: float
    gpus: int | None
    tokens_per_second_per_gpu: float | None


def weight_bytes(config: ModelConfig, precision: str) -> float:
    """Bytes of all weights in `precision`."""
    everything = parameter_count(config)
    if precision in ("fp32", "bf16"):
        return everything * (4.0 if precision == "fp32" else 2.0)
    if precision not in PRECISIONS:
        raise UserError(f"precision={precision}{did_you_mean(precision, PRECISIONS)}")
    plain = config.vocabulary * config.dim + (2 * config.n_layers + 1) * config.dim
    matrices = everything - plain
    return 2.0 * plain + matrices * (1.0 if precision == "int8" else 0.5 + 4 / GROUP)


def cache_bytes(config: ModelConfig, context: int, sequences: int = 1, size: int = 2) -> float:
    """Bytes of the keys and values of `sequences` texts of `context` tokens, `size` bytes a number."""
    return 2.0 * config.n_layers * config.kv_heads * config.head_dim * size * context * sequences


def serving(config: ModelConfig, precision: str, context: int, sequences: int, gpu: Gpu | None) -> Serving:
    """`gpus` is the fewest (1, 2, 4, 8, …) that hold weights and caches; tokens/s is None without a GPU."""
    weights = weight_bytes(config, precision)
    cache = cache_bytes(config, context, sequences, 4 if precision == "fp32" else 2)
    if gpu is None:
        return Serving(precision, weights, cache, None, None)
    need = max(1, math.ceil((weights + cache) / (gpu.memory_bytes * USABLE)))
    gpus = 1 << (need - 1).bit_length()
    reading = (weights + cache) / (gpus * gpu.memory_gb_per_second * 1e9 * BANDWIDTH_SHARE)
    products = FITTED.products(gpu.generation)
    computing = 2.0 * parameter_count(config) * sequences / (gpus * gpu.peak_flops * gpu.clock_share * products)
    return Serving(precision, weights, cache, gpus, sequences / max(reading, computing) / gpus)
