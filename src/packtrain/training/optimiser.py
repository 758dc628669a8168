"""named parameters → matrices decay, vectors do not → AdamW;  gradients → clipped, with their norm"""

from __future__ import annotations

import torch
from torch import nn

from packtrain.training.schedule import OptimConfig


def build_optimiser(model: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW over two groups: weight decay on matrices (embeddings included), none on the norms' vectors.

    Fused: one kernel for all parameters on CUDA, one vectorised pass on CPU; the same numbers at every run.
    """
    matrices = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    b1, b2 = config.betas
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(b1, b2), eps=config.eps, fused=True)


def clip_gradients(model: nn.Module, config: OptimConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """Clip in place as `config.clip` says.

    Returns the norm before clipping of all gradients (a scalar) and of each parameter's that has one; both stay on
    their device.
    """
    parameters = [p for p in model.parameters() if p.grad is not None]
    found = [p.grad for p in parameters if p.grad is not None]
    parts = torch.stack(torch._foreach_norm(found))  # pyright: ignore[reportPrivateImportUsage]
    norm = torch.linalg.vector_norm(parts)
    if config.clip == "norm":
        torch.nn.utils.clip_grads_with_norm_(parameters, config.clip_at, norm)
    elif config.clip == "value":
        torch.nn.utils.clip_grad_value_(parameters, config.clip_at)
    return norm, parts
