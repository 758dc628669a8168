"""recompute=none|full|selective|manual → what a layer keeps for its backward, and what it computes again

| policy    | keeps                                                   | computes again               |
|-----------|---------------------------------------------------------|------------------------------|
| none      | all that autograd wants                                 | nothing                      |
| manual    | x, q, k, v, out, h, gate, up, log-sum-exp (`manual.py`) | norms, SwiGLU                |
| selective | x, outputs of matrix products and of the attention      | all between (PyTorch's own)  |
| full      | x                                                       | the layer                    |
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from packtrain.model import fp8, manual
from packtrain.model.engine import Engine

aten = torch.ops.aten
SAVED = frozenset(  # overloads: a packet (aten.mm) in this set would match nothing and save nothing, silently
    {
        aten.mm.default,
        aten.addmm.default,
        aten.bmm.default,
        aten._scaled_dot_product_flash_attention_for_cpu.default,
        aten._flash_attention_forward.default,
        aten._efficient_attention_forward.default,
    }
)


def selective_policy(context: Any, op: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    """Save matrix products and attention, whichever library it is from."""
    save = op in SAVED or getattr(op, "namespace", "").startswith("xformers")
    return CheckpointPolicy.MUST_SAVE if save else CheckpointPolicy.PREFER_RECOMPUTE


def runner(engine: Engine, layer: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`layer(x, rope, layout, backend)` under the engine's policy; `manual` has its own way (`manual_runner`)."""
    if engine.compile:
        layer = torch.compile(layer, backend=engine.compiler)
    if engine.recompute == "none":
        return layer
    again: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}  # a layer draws nothing at random
    if engine.recompute == "selective":
        again["context_fn"] = functools.partial(create_selective_checkpoint_contexts, selective_policy)
    return functools.partial(checkpoint, layer, **again)


@functools.cache
def inner(compiler: str | None, eight_bits: bool = False) -> manual.Inner:
    """The hand-written layer's functions, compiled by `compiler` where one is named; shared by all layers."""
    functions = [manual.enter, manual.enter_backward, manual.leave, manual.leave_backward]
    if eight_bits:
        functions = [functools.partial(function, pair=fp8.PAIR) for function in functions]
    if compiler is None:
        return manual.Inner(*functions)
    return manual.Inner(*(torch.compile(function, backend=compiler) for function in functions))
