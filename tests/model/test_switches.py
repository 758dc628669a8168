"""Each switch of the architecture computes what an independent implementation computes, forward and backward"""

from __future__ import annotations

# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false, reportOptionalSubscript=false
# pyright: reportCallIssue=false, reportArgumentType=false
import dataclasses
from itertools import product
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from packtrain.errors import UserError
from packtrain.estimate.activations import saved_bytes
from packtrain.estimate.flops import flops_per_token
from packtrain.export.shapes import tensor_shapes
from packtrain.inference.decoder import Decoder
from packtrain.model.attention_backends import sdpa
from packtrain.model.block import TransformerBlock
from packtrain.model.config import ModelConfig, parameter_count
from packtrain.model.engine import Engine
from packtrain.model.initialisation import initialise
from packtrain.model.layout import CAUSAL, Layout
from packtrain.model.linear import TiedLinear
from packtrain.model.llama import Llama
from packtrain.model.loss import cross_entropy
from packtrain.model.positions import SCALE, sinusoids

PLAIN = ModelConfig(dim=32, n_layers=2, n_heads=4, vocab_size=41, max_sequence_length=24, ffn_multiple_of=8)
CHOICES: dict[str, dict[str, Any]] = {
    "post": {"norm_placement": "post"},
    "layer": {"norm": "layer"},
    "gelu": {"feed_forward": "gelu"},
    "relu": {"feed_forward": "relu"},
    "learned": {"positions": "learned"},
    "sinusoidal": {"positions": "sinusoidal"},
    "none": {"positions": "none"},
    "tied": {"tied_embeddings": True},
    "all at once": {
        "norm_placement": "post", "norm": "layer", "feed_forward": "relu", "positions": "learned",
        "tied_embeddings": True,
    },
}  # fmt: skip
BY_HAND = ("learned", "sinusoidal", "none", "tied")  # their layers are LLaMA's
LAYOUTS = {"causal": CAUSAL, "documents": Layout(((5, 1, 14), (20,)))}


def lively(config: ModelConfig, recompute: Any = "none") -> Llama:
    """Weights that make logits and attention scores of order one."""
    model = Llama(config, engine=Engine(recompute=recompute))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.uniform_(0.5, 1.5, generator=generator)
            else:
                parameter.normal_(0.0, config.dim**-0.5, generator=generator)
    return model


def batch(config: ModelConfig, length: int = 20) -> tuple[Tensor, Tensor]:
    tokens = torch.randint(0, config.vocabulary, (2, length + 1), generator=torch.Generator().manual_seed(1))
    return tokens[:, :-1], tokens[:, 1:]


def gradients(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def equal(found: Tensor | None, expected: Tensor | None, what: str, tolerance: float = 1e-5) -> None:
    assert found is not None and expected is not None
    bound = min(tolerance, 1e-3 * float(expected.abs().max()) + 1e-7)
    torch.testing.assert_close(found, expected, atol=bound, rtol=0, msg=lambda text: f"{what}: {text}")


def test_learned_positions_layer_norm_gelu_and_tied_embeddings_are_those_of_gpt2() -> None:
    config = dataclasses.replace(
        PLAIN, norm="layer", feed_forward="gelu", positions="learned", tied_embeddings=True, norm_eps=1e-5
    )
    ours = lively(config)
    theirs = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=41, n_positions=24, n_embd=32, n_layer=2, n_head=4, n_inner=config.hidden_dim,
            activation_function="gelu", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, attn_implementation="eager",
        )
    )  # fmt: skip
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.zero_()  # their biases stay zero
        theirs.transformer.wte.weight.copy_(ours.tok_embeddings.weight)
        theirs.transformer.wpe.weight.copy_(ours.positions.weight)
        theirs.transformer.ln_f.weight.copy_(ours.norm.weight)
        for block, layer in zip(theirs.transformer.h, ours.layers, strict=True):
            a, f = layer.attention, layer.feed_forward
            block.attn.c_attn.weight.copy_(torch.cat([a.wq.weight, a.wk.weight, a.wv.weight]).T)
            block.attn.c_proj.weight.copy_(a.wo.weight.T)
            block.mlp.c_fc.weight.copy_(f.w1.weight.T)
            block.mlp.c_proj.weight.copy_(f.w2.weight.T)
            block.ln_1.weight.copy_(layer.attention_norm.weight)
            block.ln_2.weight.copy_(layer.ffn_norm.weight)
    tokens, targets = batch(config)
    logits, their_logits = ours(tokens), theirs(tokens, use_cache=False).logits
    assert their_logits.std() > 0.3
    torch.testing.assert_close(logits, their_logits, atol=1e-5, rtol=0)
    found = gradients(ours, ours.loss(tokens, targets))
    gradients(theirs, cross_entropy(their_logits, targets))
    core = theirs.transformer
    equal(found["tok_embeddings.weight"], core.wte.weight.grad, "the tied table")
    equal(found["positions.weight"], core.wpe.weight.grad, "positions")
    equal(found["norm.weight"], core.ln_f.weight.grad, "the last norm")
    for i, block in enumerate(core.h):
        equal(found[f"layers.{i}.feed_forward.w1.weight"], block.mlp.c_fc.weight.grad.T, "w1")
        equal(found[f"layers.{i}.attention.wo.weight"], block.attn.c_proj.weight.grad.T, "wo")
        equal(found[f"layers.{i}.ffn_norm.weight"], block.ln_2.weight.grad, "ffn_norm")


@pytest.mark.parametrize(("placement", "feed_forward"), list(product(("pre", "post"), ("gelu", "relu"))))
def test_a_layer_without_positions_is_torchs_encoder_layer(placement: Any, feed_forward: Any) -> None:
    config = dataclasses.replace(
        PLAIN, norm="layer", norm_placement=placement, feed_forward=feed_forward, positions="none"
    )
    model = lively(config)
    layer = model.layers[0]
    assert isinstance(layer, TransformerBlock)
    theirs = nn.TransformerEncoderLayer(
        32, 4, config.hidden_dim, 0.0, feed_forward, config.norm_eps, batch_first=True, norm_first=placement == "pre",
        bias=False,
    )  # fmt: skip
    a, f = layer.attention, layer.feed_forward
    same = {
        "self_attn.out_proj.weight": a.wo.weight, "linear1.weight": f.w1.weight, "linear2.weight": f.w2.weight,
        "norm1.weight": layer.attention_norm.weight, "norm2.weight": layer.ffn_norm.weight,
    }  # fmt: skip
    joined = torch.cat([a.wq.weight, a.wk.weight, a.wv.weight])
    theirs.load_state_dict({"self_attn.in_proj_weight": joined, **same})
    x = torch.randn(2, 9, 32, generator=torch.Generator().manual_seed(2))
    mask = nn.Transformer.generate_square_subsequent_mask(9)
    y, expected = layer(x, model.turning(torch.arange(9)), CAUSAL, sdpa), theirs(x, src_mask=mask, is_causal=True)
    torch.testing.assert_close(y, expected, atol=1e-5, rtol=0)
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(3))
    y.backward(dy)
    expected.backward(dy)
    their_gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    for name, parameter in same.items():
        equal(parameter.grad, their_gradients[name], name, 1e-4)
    equal(a.wk.weight.grad, theirs.self_attn.in_proj_weight.grad[32:64], "wk", 1e-4)


def test_a_llama_with_tied_embeddings_is_that_of_transformers() -> None:
    from packtrain.export.huggingface import AsHF

    config = dataclasses.replace(PLAIN, tied_embeddings=True)
    ours = lively(config)
    theirs = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=41, hidden_size=32, intermediate_size=config.hidden_dim, num_hidden_layers=2,
            num_attention_heads=4, rms_norm_eps=config.norm_eps, tie_word_embeddings=True, attn_implementation="eager",
        )
    )  # fmt: skip
    weights = {**ours.state_dict(), "output.weight": ours.output.weight.detach()}
    theirs.load_state_dict(dict(AsHF(weights, dataclasses.replace(config, tied_embeddings=False))))
    tokens, targets = batch(config)
    their_logits = theirs(tokens, use_cache=False).logits
    torch.testing.assert_close(ours(tokens), their_logits, atol=1e-5, rtol=0)
    found = gradients(ours, ours.loss(tokens, targets))
    gradients(theirs, cross_entropy(their_logits, targets))
    equal(found["tok_embeddings.weight"], theirs.model.embed_tokens.weight.grad, "the tied table")


def test_sinusoids_are_those_of_transformers_marian() -> None:
    from transformers.models.marian.modeling_marian import MarianSinusoidalPositionalEmbedding

    theirs = MarianSinusoidalPositionalEmbedding(12, 32)
    theirs.weight = nn.Parameter(theirs.create_weight() if hasattr(theirs, "create_weight") else theirs._init_weight())
    halves = theirs(torch.Size((1, 12)))  # sines, then cosines
    ours = sinusoids(torch.arange(12), 32)
    torch.testing.assert_close(torch.cat([ours[:, 0::2], ours[:, 1::2]], dim=1), halves, atol=1e-6, rtol=0)
    config = dataclasses.replace(PLAIN, positions="sinusoidal")
    model = initialise(Llama(config), 0)
    h = model.tok_embeddings(torch.arange(20)[None])
    added = (model.positions(h, torch.arange(20)) - h).detach()
    torch.testing.assert_close(added[0], SCALE * sinusoids(torch.arange(20), 32), atol=1e-7, rtol=0)
    assert float(added.square().mean().sqrt()) == pytest.approx(0.02, rel=0.01), "as large as an embedding at first"


def test_without_positions_one_layer_does_not_see_the_order_of_what_was_before() -> None:
    config = dataclasses.replace(PLAIN, n_layers=1)
    tokens = torch.tensor([[3, 9, 27, 5, 30, 8]])
    shuffled = tokens[:, [2, 0, 3, 1, 4, 5]]
    without, rotary = (lively(dataclasses.replace(config, positions=p)) for p in ("none", "rotary"))
    torch.testing.assert_close(without(tokens)[0, -1], without(shuffled)[0, -1], atol=1e-5, rtol=0)
    assert (rotary(tokens)[0, -1] - rotary(shuffled)[0, -1]).abs().max() > 0.05


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("choice", CHOICES)
def test_every_recompute_policy_gives_autograds_gradients(choice: str, layout: str) -> None:
    config = dataclasses.replace(PLAIN, **CHOICES[choice])
    tokens, targets = batch(config)
    expected: dict[str, Tensor] = {}
    for recompute in ("none", "manual", "selective", "full"):
        model = lively(config, recompute)
        assert model.engine.recompute == ("none" if recompute == "manual" and choice not in BY_HAND else recompute)
        found = gradients(model, model.loss(tokens, targets, LAYOUTS[layout]))
        expected = expected or found
        assert found.keys() == expected.keys() == dict(model.named_parameters()).keys()
        for name, gradient in found.items():
            equal(gradient, expected[name], f"{recompute}: {name}", 2e-6)
        assert all(float(gradient.abs().max()) > 0 for gradient in found.values())


@pytest.mark.parametrize("choice", CHOICES)
def test_generation_with_a_cache_gives_the_models_logits(choice: str) -> None:
    config = dataclasses.replace(PLAIN, **CHOICES[choice])
    model = lively(config).eval()
    tokens = torch.randint(0, 41, (3, 24), generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([2, 9, 15])
    decoder = Decoder.of(model, "fp32")
    decoder.reset(3, 24)
    found = [decoder.prefill(tokens[:, :15], lengths)]
    found += [decoder.step(tokens[torch.arange(3), lengths + s]) for s in range(4)]
    with torch.inference_mode():
        for s, logits in enumerate(found):
            for row in range(3):
                expected = model(tokens[row : row + 1, : lengths[row] + s])[0, -1]
                torch.testing.assert_close(logits[row], expected, atol=2e-5, rtol=0)
        mask = torch.ones(24, 24, dtype=torch.bool).tril().expand(3, -1, -1)
        hidden = decoder.hidden(tokens, torch.arange(24).expand(3, -1), mask)
        torch.testing.assert_close(decoder.logits_of(hidden), model(tokens), atol=2e-5, rtol=0)


def test_learned_positions_end_where_the_table_ends() -> None:
    decoder = Decoder.of(lively(dataclasses.replace(PLAIN, positions="learned")), "fp32")
    with pytest.raises(UserError, match=r"a text of 25 tokens.*has learned the positions of 24.*context=24"):
        decoder.reset(1, 25)
    with pytest.raises(UserError, match="longer than the model's max_sequence_length=24"):
        lively(dataclasses.replace(PLAIN, positions="learned"))(torch.zeros(1, 25, dtype=torch.long))


ALL = product(
    ("rms", "layer"), ("pre", "post"), ("swiglu", "gelu", "relu"), ("rotary", "learned", "none"), (False, True)
)


def test_the_planner_counts_every_combination_as_it_is_built() -> None:
    for norm, placement, feed_forward, positions, tied in ALL:
        config = dataclasses.replace(
            PLAIN, norm=norm, norm_placement=placement, feed_forward=feed_forward, positions=positions,
            tied_embeddings=tied,
        )  # fmt: skip
        with torch.device("meta"):
            model = Llama(config)
        shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        assert shapes == tensor_shapes(config)
        assert parameter_count(config) == sum(p.numel() for p in model.parameters())
        assert isinstance(model.output, TiedLinear) == tied


def test_feed_forwards_hold_the_same_number_of_parameters() -> None:
    for dim, multiple in ((96, 256), (64, 8), (4096, 256)):
        counts = {
            parameter_count(ModelConfig(dim, 2, 2, vocab_size=9, ffn_multiple_of=multiple, feed_forward=kind))
            for kind in ("swiglu", "gelu", "relu")
        }
        assert len(counts) == 1
    with pytest.raises(UserError, match="half as wide again as SwiGLU's 53, which is odd: give an even"):
        ModelConfig(20, 1, 2, ffn_multiple_of=1, feed_forward="gelu")


def test_a_tied_tables_flops_are_counted_and_a_looked_up_one_is_not() -> None:
    untied = flops_per_token(PLAIN, 24)
    assert flops_per_token(dataclasses.replace(PLAIN, tied_embeddings=True), 24) == untied
    assert flops_per_token(dataclasses.replace(PLAIN, positions="learned"), 24) == untied


def test_the_planner_keeps_what_autograd_keeps_where_there_is_no_backward_by_hand() -> None:
    post = dataclasses.replace(PLAIN, norm_placement="post")
    assert saved_bytes(post, "manual", 4, False) == saved_bytes(post, "none", 4, False)
    assert saved_bytes(PLAIN, "manual", 4, False) < saved_bytes(PLAIN, "none", 4, False)


def test_eight_bits_and_tensor_parallelism_are_refused_in_one_line() -> None:
    from packtrain.parallel.config import check_tensor

    with pytest.raises(UserError, match=r"fp8=true is of LLaMA's architecture alone.*model\.norm=layer"):
        Engine(fp8=True).suited(dataclasses.replace(PLAIN, norm="layer"))
    with pytest.raises(
        UserError, match=r"parallel.tensor=2 is of LLaMA's architecture alone.*positions=learned, model"
    ):
        check_tensor(dataclasses.replace(PLAIN, positions="learned", tied_embeddings=True), 2, 24)


def test_the_defaults_are_llama_and_its_layer_is_by_hand() -> None:
    assert PLAIN.unlike_llama == () and PLAIN.layer_by_hand
    assert Engine().suited(PLAIN) == Engine()
    with torch.device("meta"):
        names = set(Llama(PLAIN).state_dict())
    assert "output.weight" in names and "layers.0.feed_forward.w3.weight" in names
    assert not any("positions" in name for name in names)
