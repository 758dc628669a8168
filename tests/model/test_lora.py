"""Adapters: their gradients against autograd of the plain formula, what is frozen, and merging"""

import dataclasses

import pytest
import torch
from torch.func import functional_call

from packtrain.errors import UserError
from packtrain.model.attention_backends.choose import choose
from packtrain.model.config import ModelConfig
from packtrain.model.engine import Engine
from packtrain.model.initialisation import initialise
from packtrain.model.layout import Layout
from packtrain.model.llama import Llama
from packtrain.model.lora import add_adapters, is_adapter, merged
from packtrain.model.lora_config import MATRICES, LoraConfig, adapter_parameters
from packtrain.model.rope import rope_table

CONFIG = ModelConfig(dim=16, n_layers=2, n_heads=4, n_kv_heads=2, vocab_size=40, ffn_multiple_of=8)
LAYOUT = Layout(((4, 3), (7,)))
COUNTED = torch.tensor([1, 2, 6, 9, 12])


def adapted(lora: LoraConfig, engine: Engine, dtype: torch.dtype = torch.float64, small: float = 0.3) -> Llama:
    """A model whose B is not zero any more."""
    model = add_adapters(initialise(Llama(CONFIG, dtype, engine), 1), lora, seed=2).to(dtype)
    generator = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        if name.endswith("lora_b"):
            parameter.data = small * torch.randn(parameter.shape, generator=generator, dtype=dtype)
    return model


def tokens() -> tuple[torch.Tensor, torch.Tensor]:
    found = torch.randint(3, 40, (2, 8), generator=torch.Generator().manual_seed(4))
    return found[:, :-1], found[:, 1:]


def by_the_formula(model: Llama, scale: float) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Loss and gradients of A and B by autograd through W + s·B A, put into a model that knows no adapters."""
    plain = Llama(CONFIG, torch.float64, Engine("reference", "none")).to(torch.float64)
    named = dict(model.named_parameters())
    small = {name: p.detach().clone().requires_grad_() for name, p in named.items() if is_adapter(name)}
    weights = {}
    for name, parameter in named.items():
        if not is_adapter(name):
            part = name.removesuffix("weight")
            weights[name] = parameter.detach()
            if part + "lora_a" in small:
                weights[name] = weights[name] + scale * small[part + "lora_b"] @ small[part + "lora_a"]
    inputs, targets = tokens()
    plain.forward = plain.hidden  # `forward` rounds its logits to fp32
    hidden = functional_call(plain, weights, (inputs, LAYOUT)).flatten(0, 1)[COUNTED]
    logits = hidden @ weights["output.weight"].t()
    loss = torch.nn.functional.cross_entropy(logits, targets.flatten()[COUNTED])
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in small.items() if p.grad is not None}


TARGETS = pytest.mark.parametrize("targets", [tuple(MATRICES), ("wq", "wv")])


@pytest.mark.parametrize("recompute", ["none", "full"])
@TARGETS
def test_adapters_gradients_are_those_of_autograd_through_the_plain_formula(recompute, targets) -> None:
    lora = LoraConfig(rank=3, alpha=5.0, targets=targets)
    model = adapted(lora, Engine("reference", recompute))
    loss = model.loss(*tokens(), LAYOUT, COUNTED)
    loss.backward()
    expected, gradients = by_the_formula(model, lora.scale)
    torch.testing.assert_close(loss.detach().double(), expected, rtol=1e-12, atol=0)
    trained = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert trained.keys() == gradients.keys() and len(trained) == 2 * 2 * len(targets)
    for name, gradient in gradients.items():
        torch.testing.assert_close(trained[name], gradient, rtol=1e-9, atol=1e-12, msg=name)


@TARGETS
def test_by_hand_the_gradients_are_those_of_the_merged_layer_by_the_chain_rule(targets) -> None:
    """dB = s dW Aᵀ, dA = s Bᵀ dW of the layer whose weights are W + s·B A; in fp64 tests/model/test_recompute.py holds
    that layer to the textbook's."""
    lora = LoraConfig(rank=3, alpha=5.0, targets=targets)
    rope = rope_table(LAYOUT.positions(7, torch.device("cpu")), CONFIG.head_dim, CONFIG.rope_theta).double()
    layer = adapted(lora, Engine("reference")).layers[0]
    whole = Llama(CONFIG, torch.float64, Engine("reference")).to(torch.float64).layers[0]
    named = dict(layer.named_parameters())
    with torch.no_grad():
        for name, parameter in whole.named_parameters():
            part = name.removesuffix("weight")
            parameter.copy_(named[name])
            if part + "lora_a" in named:
                parameter += lora.scale * named[part + "lora_b"] @ named[part + "lora_a"]
    found = []
    for one in (layer, whole):
        x = torch.randn(2, 7, 16, generator=torch.Generator().manual_seed(5), dtype=torch.float64).requires_grad_()
        y = one(x, rope, LAYOUT, choose("reference", "cpu"))
        (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
        found.append((y.detach(), x.grad))
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=1e-12)
    for name, parameter in whole.named_parameters():
        part = name.removesuffix("weight")
        assert named[name].grad is None
        if part + "lora_a" in named:
            a, b, dw = named[part + "lora_a"], named[part + "lora_b"], parameter.grad
            assert dw is not None
            torch.testing.assert_close(b.grad, lora.scale * dw @ a.detach().T, rtol=1e-11, atol=1e-12, msg=name)
            torch.testing.assert_close(a.grad, lora.scale * b.detach().T @ dw, rtol=1e-11, atol=1e-12, msg=name)


def test_new_adapters_change_nothing_and_frozen_weights_stay_as_they_are() -> None:
    base = initialise(Llama(CONFIG), 1)
    before = {name: p.detach().clone() for name, p in base.named_parameters()}
    inputs, targets = tokens()
    logits = base(inputs)
    model = add_adapters(base, LoraConfig(rank=2), seed=1)
    assert torch.equal(model(inputs), logits)  # B is zero
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        model.loss(inputs, targets).backward()
        optimiser.step()
    after = dict(model.named_parameters())
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(not after[name].requires_grad and after[name].grad is None for name in before)
    assert not torch.equal(model(inputs), logits)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained == adapter_parameters(CONFIG, LoraConfig(rank=2))


def test_merged_is_unmerged() -> None:
    lora = LoraConfig(rank=3, alpha=6.0)
    model = adapted(lora, Engine(), torch.float32, small=0.05)
    named = dict(model.named_parameters())
    whole = Llama(CONFIG)
    weights = {}
    for name in dict(whole.named_parameters()):
        part = name.removesuffix("weight")
        small = [named.get(part + which) for which in ("lora_a", "lora_b")]
        a, b = (p if p is None else p.detach() for p in small)
        weight = named[name].detach()
        weights[name] = weight if a is None or b is None else merged(weight, a, b, lora.scale)
    whole.load_state_dict(weights)
    inputs, _ = tokens()
    with torch.no_grad():
        torch.testing.assert_close(whole(inputs), model(inputs), rtol=1e-5, atol=1e-5)


SWITCHES = [{"feed_forward": "gelu"}, {"norm_placement": "post"}, {"tied_embeddings": True}, {"positions": "learned"}]


@pytest.mark.parametrize("switch", SWITCHES, ids=lambda switch: next(iter(switch)))
def test_a_model_with_other_switches_takes_adapters_too(switch) -> None:
    config = dataclasses.replace(CONFIG, **switch)
    base = initialise(Llama(config), 1)
    inputs, targets = tokens()
    logits = base(inputs)
    model = add_adapters(base, LoraConfig(rank=2), 1)
    assert torch.equal(model(inputs), logits)
    model.loss(inputs, targets).backward()
    trained = [p for p in model.parameters() if p.grad is not None]
    assert sum(p.numel() for p in trained) == adapter_parameters(config, LoraConfig(rank=2))


def test_bf16_adapters_have_fp32_gradients() -> None:
    model = add_adapters(initialise(Llama(CONFIG, torch.bfloat16), 1), LoraConfig(rank=2), 1)
    model.loss(*tokens()).backward()
    assert {p.grad.dtype for p in model.parameters() if p.grad is not None} == {torch.float32}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"rank": -1}, "lora.rank=-1"), ({"targets": ("wx",)}, "wx is no matrix"), ({"alpha": 0.0}, "lora.alpha=0")],
)
def test_settings_that_make_no_adapters_are_refused(wrong, said: str) -> None:
    with pytest.raises(UserError, match=said):
        LoraConfig(**wrong)
