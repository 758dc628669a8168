"""ours ⇄ Hugging Face: names, rows of wq and wk, config.json

    wq, wk     Meta turns the neighbours (2j, 2j + 1) of a head together, Hugging Face j and j + D/2: rows move
    the rest   is renamed

transformers' LlamaForCausalLM is the format's definition; what it can hold and we cannot (biases, rope scaling) is
refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from packtrain.errors import UserError
from packtrain.export.shapes import LAYER_PARTS, Tensors, tensor_shapes
from packtrain.model.config import ModelConfig

HF_LAYER_PARTS = dict(
    zip(
        LAYER_PARTS,
        (
            "input_layernorm.weight", "self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight",
            "self_attn.o_proj.weight", "post_attention_layernorm.weight", "mlp.gate_proj.weight",
            "mlp.down_proj.weight", "mlp.up_proj.weight",
        ),
        strict=True,
    )
)  # fmt: skip
HF_ENDS = {
    "tok_embeddings.weight": "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
OURS_LAYER_PARTS = {theirs: ours for ours, theirs in HF_LAYER_PARTS.items()}
OURS_ENDS = {theirs: ours for ours, theirs in HF_ENDS.items()}


def hf_name(name: str) -> str:
    """layers.3.attention.wq.weight → model.layers.3.self_attn.q_proj.weight"""
    if name in HF_ENDS:
        return HF_ENDS[name]
    _, i, part = name.split(".", 2)
    return f"model.layers.{i}.{HF_LAYER_PARTS[part]}"


def our_name(name: str) -> str | None:
    """The other way; None for a name that a LLaMA does not have."""
    if name in OURS_ENDS:
        return OURS_ENDS[name]
    parts = name.split(".", 3)
    if len(parts) == 4 and parts[:2] == ["model", "layers"] and parts[3] in OURS_LAYER_PARTS:
        return f"layers.{parts[2]}.{OURS_LAYER_PARTS[parts[3]]}"
    return None


def to_halves(weight: Tensor, head_dim: int) -> Tensor:
    """Rows of wq or wk (H·D, C) from neighbours to halves: (H, D/2, 2, C) → (H, 2, D/2, C)."""
    return weight.view(-1, head_dim // 2, 2, weight.shape[1]).transpose(1, 2).reshape(weight.shape)


def to_neighbours(weight: Tensor, head_dim: int) -> Tensor:
    """The inverse of `to_halves`."""
    return weight.view(-1, 2, head_dim // 2, weight.shape[1]).transpose(1, 2).reshape(weight.shape)


def is_turned(name: str) -> bool:
    return name.endswith(("attention.wq.weight", "attention.wk.weight"))


class AsHF(Mapping[str, Tensor]):
    """Our tensors under Hugging Face's names and in its order of rows, each made when it is asked for."""

    def __init__(self, ours: Tensors, config: ModelConfig) -> None:
        self.ours, self.config = ours, config
        self.names = {hf_name(name): name for name in tensor_shapes(config)}

    def __getitem__(self, name: str) -> Tensor:
        ours = self.names[name]
        tensor = self.ours[ours]
        return to_halves(tensor, self.config.head_dim) if is_turned(ours) else tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


class FromHF(Mapping[str, Tensor]):
    """Hugging Face's tensors under our names; tied embeddings serve as the output matrix too."""

    def __init__(self, theirs: Tensors, config: ModelConfig, tied: bool) -> None:
        self.theirs, self.config = theirs, config
        self.names = {name: hf_name(name) for name in tensor_shapes(config)}
        if tied:
            self.names["output.weight"] = HF_ENDS["tok_embeddings.weight"]

    def __getitem__(self, name: str) -> Tensor:
        tensor = self.theirs[self.names[name]]
        return to_neighbours(tensor, self.config.head_dim) if is_turned(name) else tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def hf_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    return {hf_name(name): shape for name, shape in tensor_shapes(config).items()}


def hf_config(config: ModelConfig, dtype: str, bos_id: int, eos_id: int) -> dict[str, Any]:
    """config.json, in keys that transformers 4 and 5 both read."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": config.dim,
        "intermediate_size": config.hidden_dim,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "vocab_size": config.vocabulary,
        "max_position_embeddings": config.max_sequence_length,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "initializer_range": 0.02,
        "use_cache": True,
        "bos_token_id": bos_id,
        "eos_token_id": eos_id,
        "torch_dtype": dtype,
    }


def our_config(found: Mapping[str, Any], where: object) -> tuple[ModelConfig, bool]:
    """config.json → our configuration, and whether the embeddings are tied. `UserError` for what is not a LLaMA."""
    kind = found.get("model_type")
    if kind != "llama":
        raise UserError(f"{where}: model_type {kind!r} is not LLaMA's; only checkpoints of model_type 'llama' are read")
    if found.get("quantization_config"):
        raise UserError(
            f"{where}: quantization_config is set: a quantised checkpoint cannot be read; take the original"
        )
    rope: dict[str, Any] = {}
    for key in ("rope_scaling", "rope_parameters"):
        if not isinstance(values := found.get(key) or {}, Mapping):
            raise UserError(f"{where}: {key} is {values!r}, expected an object or null")
        rope |= values
    scaling = rope.get("rope_type", rope.get("type", "default"))
    if scaling not in (None, "default"):
        raise UserError(
            f"{where}: rope scaling '{scaling}' is not supported (LLaMA 3.1 and later stretch their context so); "
            "LLaMA 1, 2 and 3 have none"
        )
    for key in ("attention_bias", "mlp_bias"):
        if found.get(key):
            raise UserError(f"{where}: {key} is true, and a LLaMA has no biases: this architecture cannot be read")
    if found.get("hidden_act", "silu") != "silu":
        raise UserError(f"{where}: hidden_act {found['hidden_act']!r} is not LLaMA's silu")
    try:
        heads, dim = int(found["num_attention_heads"]), int(found["hidden_size"])
        config = ModelConfig(
            dim=dim,
            n_layers=int(found["num_hidden_layers"]),
            n_heads=heads,
            n_kv_heads=int(found.get("num_key_value_heads") or heads),
            vocab_size=int(found["vocab_size"]),
            max_sequence_length=int(found.get("max_position_embeddings", 2048)),
            ffn_dim=int(found["intermediate_size"]),
            rope_theta=float(rope.get("rope_theta") or found.get("rope_theta") or 10000.0),
            norm_eps=float(found.get("rms_norm_eps", 1e-6)),
        )
    except KeyError as error:
        raise UserError(f"{where}: has no {error.args[0]}: not the configuration of a LLaMA") from error
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: holds no number where one belongs ({error}); download it again") from error
    if found.get("head_dim") not in (None, config.head_dim):
        raise UserError(
            f"{where}: head_dim {found['head_dim']} is not hidden_size / num_attention_heads = {config.head_dim}: "
            "this architecture cannot be read"
        )
    return config, bool(found.get("tie_word_embeddings", False))
