"""one LLaMA shape, one set of weights → packtrain, transformers, litgpt, each as a function tokens, targets → loss

All keep fp32 parameters. In bf16 packtrain casts explicitly and the peers run under autocast, as their own trainers do.
Compiled, packtrain compiles as `compile=true` does; a peer's model and loss are compiled as one graph, its best case.
Their losses on the same tokens agree, which `check_same_loss` asserts before anything is timed.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from packtrain.model.compute import DTYPES
from packtrain.model.config import ModelConfig
from packtrain.model.engine import Engine
from packtrain.model.initialisation import initialise
from packtrain.model.llama import Llama

PEERS = ("transformers", "litgpt")
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass
class Contender:
    """`loss(tokens, targets)` (B, T), (B, T) int64 → scalar with a graph; `model` holds the fp32 parameters."""

    implementation: str
    precision: str
    compiled: bool
    model: nn.Module
    loss: Loss

    @property
    def labels(self) -> dict[str, Any]:
        return {"implementation": self.implementation, "precision": self.precision, "compiled": self.compiled}


def installed() -> list[str]:
    """packtrain and those peers that are here; says which are not and how to install them."""
    found = [name for name in PEERS if importlib.util.find_spec(name) is not None]
    for name in set(PEERS) - set(found):
        print(f"{name} is not installed and is left out: make install, or pip install 'packtrain[bench]'")
    return ["packtrain", *found]


def build(
    name: str, config: ModelConfig, precision: str, compiled: bool, device: torch.device, engine: Engine | None = None,
    checkpointing: bool = False, same_weights: bool = True,
) -> Contender:  # fmt: skip
    """A contender with the weights of packtrain's seed 0, or (`same_weights=False`, for billions of them) with random
    ones drawn on the device. `checkpointing` recomputes the peers' layers; packtrain's policy is in `engine`."""
    if name == "packtrain":
        with device:
            model: nn.Module = Llama(config, DTYPES[precision], engine or Engine(compile=compiled))  # pyright: ignore
        if same_weights:
            initialise(model, 0)  # pyright: ignore[reportArgumentType]
        else:
            draw(model)
        return Contender(name, precision, compiled, model, model.loss)  # pyright: ignore[reportArgumentType]
    with device:
        model, logits = {"transformers": transformers, "litgpt": litgpt}[name](config, checkpointing)
    load(name, model, config) if same_weights else draw(model)

    def loss(tokens: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits(tokens).flatten(0, 1).float(), targets.flatten())

    run = torch.compile(loss) if compiled else loss

    def cast(tokens: Tensor, targets: Tensor) -> Tensor:
        half = torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()
        with half:
            return run(tokens, targets)

    return Contender(name, precision, compiled, model, cast)


def transformers(config: ModelConfig, checkpointing: bool) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """LlamaForCausalLM with PyTorch's fused attention."""
    from transformers import LlamaConfig, LlamaForCausalLM

    settings: dict[str, Any] = {
        "vocab_size": config.vocabulary,
        "hidden_size": config.dim,
        "intermediate_size": config.hidden_dim,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.kv_heads,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "tie_word_embeddings": False,
        "max_position_embeddings": config.max_sequence_length,
        "attn_implementation": "sdpa",
        "use_cache": False,
    }
    model = LlamaForCausalLM(LlamaConfig(**settings)).train()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model, lambda tokens: model(tokens, use_cache=False).logits


def litgpt(config: ModelConfig, checkpointing: bool) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """GPT in its LLaMA configuration, with its own CausalSelfAttention."""
    from litgpt.config import Config
    from litgpt.model import GPT
    from torch.distributed.algorithms._checkpoint import checkpoint_wrapper as wrapper

    model = GPT(
        Config(
            block_size=config.max_sequence_length, vocab_size=config.vocabulary, padded_vocab_size=config.vocabulary,
            n_layer=config.n_layers, n_head=config.n_heads, n_query_groups=config.kv_heads, n_embd=config.dim,
            rotary_percentage=1.0, rope_base=int(config.rope_theta), parallel_residual=False, bias=False,
            norm_class_name="RMSNorm", norm_eps=config.norm_eps, mlp_class_name="LLaMAMLP",
            intermediate_size=config.hidden_dim,
        )
    )  # fmt: skip
    if checkpointing:
        wrapper.apply_activation_checkpointing(model, check_fn=lambda m: type(m).__name__ == "Block")
    return model, model


@torch.no_grad()
def draw(model: nn.Module) -> None:
    """Matrices from N(0, 0.02²), norms one."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.normal_(0.0, 0.02)
        else:
            parameter.fill_(1.0)


@torch.no_grad()
def load(name: str, model: nn.Module, config: ModelConfig) -> None:
    """packtrain's seed 0 under the peer's names, wq and wk reordered from neighbouring pairs to halves."""
    ours = initialise(Llama(config), 0).state_dict()

    def halves(weight: Tensor, heads: int) -> Tensor:
        return weight.view(heads, config.head_dim // 2, 2, config.dim).transpose(1, 2).reshape(-1, config.dim)

    state = {
        key: halves(w, config.n_heads) if "wq" in key else halves(w, config.kv_heads) if "wk" in key else w
        for key, w in ours.items()
    }
    names = TRANSFORMERS if name == "transformers" else LITGPT
    if name == "litgpt":
        for n in range(config.n_layers):
            parts = [state.pop(f"layers.{n}.attention.{w}.weight") for w in ("wq", "wk", "wv")]
            state[f"layers.{n}.attention.qkv.weight"] = torch.cat(parts)
    renamed = {}
    for key, w in state.items():
        for ours_name, theirs in names.items():
            key = key.replace(ours_name, theirs, 1) if ours_name in key else key
        renamed[FINAL_NORM[name] if key == "norm.weight" else key] = w
    theirs = {key.replace("_checkpoint_wrapped_module.", ""): p for key, p in model.named_parameters()}
    assert theirs.keys() == renamed.keys(), sorted(theirs.keys() ^ renamed.keys())
    for key, parameter in theirs.items():
        parameter.copy_(renamed[key])


TRANSFORMERS = {
    "tok_embeddings.": "model.embed_tokens.", "layers.": "model.layers.", "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj", "attention.wv": "self_attn.v_proj", "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj", "feed_forward.w2": "mlp.down_proj", "feed_forward.w3": "mlp.up_proj",
    "attention_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "output.": "lm_head.",
}  # fmt: skip
LITGPT = {
    "tok_embeddings.": "transformer.wte.", "layers.": "transformer.h.", "attention.qkv": "attn.qkv",
    "attention.wo": "attn.proj", "feed_forward.w1": "mlp.fc_1", "feed_forward.w2": "mlp.proj",
    "feed_forward.w3": "mlp.fc_2", "attention_norm": "norm_1", "ffn_norm": "norm_2", "output.": "lm_head.",
}  # fmt: skip
FINAL_NORM = {"transformers": "model.norm.weight", "litgpt": "transformer.ln_f.weight"}


def batch(config: ModelConfig, sequences: int, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Random tokens and their successors, (sequences, length) each."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(0, config.vocabulary, (sequences, length + 1), generator=generator).to(device)
    return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()


def check_same_loss(contenders: list[Contender], tokens: Tensor, targets: Tensor) -> None:
    """Raises `AssertionError` where one computes another function: fp32 to 1e-4, bf16 to 5e-2 nats."""
    found = [float(contender.loss(tokens, targets).detach()) for contender in contenders]
    for contender, loss in zip(contenders, found, strict=True):
        limit = 1e-4 if contender.precision == "fp32" else 5e-2
        assert abs(loss - found[0]) < limit, f"{contender.labels}: loss {loss}, the first has {found[0]}"
