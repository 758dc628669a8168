"""(seed, parameter name) → generator → normal weights

The paper states no initialisation. Ours is GPT-2's as Megatron-LM writes it down: weights from N(0, 0.02²), and the two
matrices that write into the residual stream (wo, w2) scaled by 1/√(2·n_layers), so that the stream's variance does not
grow with depth (Radford et al., 2019, §2.3; Shoeybi et al., 2019, arXiv 1909.08053, §4.2). Norm weights are one.
"""

from __future__ import annotations

import hashlib
import math

import torch

from packtrain.model.llama import Llama

STANDARD_DEVIATION = 0.02


@torch.no_grad()
def initialise(model: Llama, seed: int) -> Llama:
    """Fills every parameter in place and returns the model.

    Each tensor has a generator of its own, seeded by (seed, its name): the weights depend neither on the order of
    construction nor on the device, and shards built on different ranks differ as they should. Drawn on the CPU, about
    10⁸ numbers a second. Raises `ValueError` for parameters on the meta device: give them memory first (`to_empty`).
    """
    for name, parameter in model.named_parameters():
        if parameter.is_meta:
            raise ValueError(f"{name} is on the meta device; call model.to_empty(device=…) before initialise")
        if parameter.ndim == 1:
            parameter.fill_(1.0)
            continue
        generator = torch.Generator(device="cpu").manual_seed(tensor_seed(seed, name))
        std = standard_deviation(name, model.config.n_layers)
        parameter.copy_(torch.empty(parameter.shape, dtype=torch.float32).normal_(0.0, std, generator=generator))
    return model


def standard_deviation(name: str, n_layers: int) -> float:
    """0.02, or 0.02 / √(2·n_layers) for the matrices that end a residual branch."""
    ends_branch = name.endswith(("attention.wo.weight", "feed_forward.w2.weight"))
    return STANDARD_DEVIATION / math.sqrt(2 * n_layers) if ends_branch else STANDARD_DEVIATION


def tensor_seed(seed: int, name: str) -> int:
    """63 bits of SHA-256 of `seed/name`: the same on every machine and in every process, unlike `hash`."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "big") >> 1
