"""Our model and transformers' with the same weights: the same logits, the same gradients"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from packtrain.model.config import ModelConfig
from packtrain.model.llama import Llama
from packtrain.model.loss import cross_entropy

TOLERANCE = 1e-5
NAMES = {  # Meta's names → Hugging Face's
    "tok_embeddings.": "model.embed_tokens.",
    "layers.": "model.layers.",
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "output.": "lm_head.",
}
SHAPES = {
    "plain": (ModelConfig(dim=64, n_layers=2, n_heads=4, vocab_size=97), 16),
    "grouped heads": (ModelConfig(dim=96, n_layers=3, n_heads=6, n_kv_heads=2, vocab_size=50), 33),
    "one key head, odd length": (ModelConfig(dim=48, n_layers=2, n_heads=3, n_kv_heads=1, vocab_size=31), 7),
    "theta and epsilon": (ModelConfig(128, 2, 4, vocab_size=64, rope_theta=500.0, norm_eps=1e-2), 65),
    "wide feed-forward, one token": (ModelConfig(dim=32, n_layers=1, n_heads=1, vocab_size=20, ffn_dim=200), 1),
}


def hf_name(name: str) -> str:
    for ours, theirs in NAMES.items():
        name = name.replace(ours, theirs, 1)
    return "model.norm.weight" if name == "norm.weight" else name


def permuted(name: str, weight: Tensor, config: ModelConfig) -> Tensor:
    """Rows of wq and wk from Meta's order (neighbours are a pair) to Hugging Face's (halves are a pair)."""
    if not name.endswith(("wq.weight", "wk.weight")):
        return weight
    heads = config.n_heads if name.endswith("wq.weight") else config.kv_heads
    return weight.view(heads, config.head_dim // 2, 2, config.dim).transpose(1, 2).reshape(-1, config.dim)


def pair(config: ModelConfig) -> tuple[Llama, LlamaForCausalLM]:
    ours = Llama(config)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in ours.parameters():  # of a size that makes logits and attention scores of order one
            if parameter.ndim == 1:
                parameter.uniform_(0.5, 1.5)
            else:
                parameter.normal_(0.0, config.dim**-0.5)
    theirs = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config.vocabulary,
            hidden_size=config.dim,
            intermediate_size=config.hidden_dim,
            num_hidden_layers=config.n_layers,
            num_attention_heads=config.n_heads,
            num_key_value_heads=config.kv_heads,
            rms_norm_eps=config.norm_eps,
            rope_theta=config.rope_theta,
            tie_word_embeddings=False,
            attn_implementation="eager",
        )
    )
    state = {hf_name(name): permuted(name, weight, config) for name, weight in ours.state_dict().items()}
    assert set(state) == set(theirs.state_dict())
    theirs.load_state_dict(state)
    return ours, theirs.train()


@pytest.mark.parametrize("shape", SHAPES)
def test_logits_and_all_gradients_equal_those_of_transformers(shape: str) -> None:
    config, length = SHAPES[shape]
    ours, theirs = pair(config)
    tokens = torch.randint(0, config.vocabulary, (3, length + 1), generator=torch.Generator().manual_seed(1))
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    our_logits, their_logits = ours(inputs), theirs(inputs, use_cache=False).logits
    assert their_logits.std() > 0.3, "logits near zero would be equal whatever the model does"
    torch.testing.assert_close(our_logits, their_logits, atol=TOLERANCE, rtol=0)

    cross_entropy(our_logits, targets).backward()
    torch.nn.functional.cross_entropy(their_logits.flatten(0, 1), targets.flatten()).backward()
    their_gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None
        expected = their_gradients[hf_name(name)]
        assert expected is not None
        torch.testing.assert_close(
            permuted(name, parameter.grad, config),
            expected,
            atol=min(TOLERANCE, 1e-3 * float(expected.abs().max()) + 1e-7),  # small gradients must agree as well
            rtol=0,
            msg=lambda text, name=name: f"gradient of {name}: {text}",
        )


def test_without_the_permutation_the_logits_differ() -> None:
    config, length = SHAPES["plain"]
    ours, theirs = pair(config)
    theirs.load_state_dict({hf_name(name): weight for name, weight in ours.state_dict().items()})
    tokens = torch.arange(length)[None]
    assert (ours(tokens) - theirs(tokens).logits).abs().max() > 0.1
