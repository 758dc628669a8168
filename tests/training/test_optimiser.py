"""Decay on matrices alone, clipping by norm or by value, accumulation that changes nothing"""

from __future__ import annotations

import dataclasses

import torch

from packtrain.model.config import ModelConfig
from packtrain.model.initialisation import initialise
from packtrain.model.llama import Llama
from packtrain.training.optimiser import build_optimiser, clip_gradients
from packtrain.training.schedule import OptimConfig

CONFIG = OptimConfig(learning_rate=1e-3, warmup_steps=0)


def tiny() -> Llama:
    model = Llama(ModelConfig(dim=16, n_layers=2, n_heads=2, vocab_size=32, ffn_multiple_of=16))
    initialise(model, 1)
    return model


def backward(model: Llama, tokens: torch.Tensor, parts: int) -> None:
    for micro in tokens.chunk(parts):
        (model.loss(micro[:, :-1], micro[:, 1:]) / parts).backward()


def test_only_matrices_decay_and_every_parameter_is_in_one_group() -> None:
    model = tiny()
    optimiser = build_optimiser(model, CONFIG)
    names = {id(p): name for name, p in model.named_parameters()}
    decayed, plain = ({names[id(p)] for p in group["params"]} for group in optimiser.param_groups)
    assert [group["weight_decay"] for group in optimiser.param_groups] == [0.1, 0.0]
    assert decayed | plain == set(names.values()) and not decayed & plain
    assert plain == {name for name in names.values() if "norm" in name}
    assert optimiser.defaults["betas"] == (0.9, 0.95)


def test_one_step_is_adamw_as_written_by_loshchilov_and_hutter() -> None:
    model = tiny()
    optimiser = build_optimiser(model, CONFIG)
    tokens = torch.randint(0, 32, (4, 9), generator=torch.Generator().manual_seed(0))
    backward(model, tokens, 1)
    weight = model.output.weight
    before, gradient = weight.detach().clone(), weight.grad.clone()  # pyright: ignore[reportOptionalMemberAccess]
    optimiser.step()
    # The first step: both moments, corrected for their bias, are the gradient and its square.
    expected = before * (1 - 1e-3 * 0.1) - 1e-3 * gradient / (gradient.abs() + 1e-8)
    torch.testing.assert_close(weight.detach(), expected, rtol=1e-5, atol=1e-7)


def test_clipping_by_norm_scales_all_gradients_alike_and_returns_the_norm_before() -> None:
    model = tiny()
    backward(model, torch.arange(20).view(2, 10), 1)
    before = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    norm = torch.stack([g.double().pow(2).sum() for g in before.values()]).sum().sqrt().item()
    found = clip_gradients(model, dataclasses.replace(CONFIG, clip_at=norm / 4))[0].item()
    assert abs(found - norm) < 1e-4 * norm
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.grad, before[name] / 4, rtol=1e-4, atol=1e-8)


def test_clipping_by_value_cuts_each_entry_and_none_leaves_all() -> None:
    model = tiny()
    backward(model, torch.arange(20).view(2, 10), 1)
    before = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    clip_gradients(model, dataclasses.replace(CONFIG, clip=None))
    for p, was in zip(model.parameters(), before, strict=True):
        assert torch.equal(p.grad, was)  # pyright: ignore[reportArgumentType]
    clip_gradients(model, dataclasses.replace(CONFIG, clip="value", clip_at=1e-3))
    for p, was in zip(model.parameters(), before, strict=True):
        assert torch.equal(p.grad, was.clamp(-1e-3, 1e-3))  # pyright: ignore[reportArgumentType]


def test_accumulating_micro_batches_gives_the_gradient_of_the_whole_batch() -> None:
    tokens = torch.randint(0, 32, (8, 9), generator=torch.Generator().manual_seed(0))
    whole, parts = tiny(), tiny()
    backward(whole, tokens, 1)
    backward(parts, tokens, 4)
    for (name, a), b in zip(whole.named_parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-7, msg=name)
