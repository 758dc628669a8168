"""model/initialisation.py: the weights are a function of (seed, name), with the documented spread"""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from packtrain.model.config import ModelConfig
from packtrain.model.initialisation import initialise, tensor_seed
from packtrain.model.llama import Llama

CONFIG = ModelConfig(dim=128, n_layers=8, n_heads=4, vocab_size=512)


def test_two_models_of_one_seed_are_bitwise_equal_and_another_seed_differs() -> None:
    one, same, other = (initialise(Llama(CONFIG), seed).state_dict() for seed in (7, 7, 8))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert all(not torch.equal(one[name], other[name]) for name in one if one[name].ndim == 2)


def test_weights_depend_on_the_name_alone_not_on_what_else_is_built_or_drawn() -> None:
    deep = initialise(Llama(CONFIG), seed=7)
    torch.manual_seed(99)
    shallow = initialise(Llama(dataclasses.replace(CONFIG, n_layers=2)), seed=7)
    scaled = ("attention.wo.weight", "feed_forward.w2.weight")  # their spread depends on the depth
    names = [name for name in shallow.state_dict() if not name.endswith(scaled)]
    assert all(torch.equal(deep.state_dict()[name], shallow.state_dict()[name]) for name in names)


def test_initialising_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    initialise(Llama(CONFIG), seed=7)
    assert torch.equal(torch.rand(1), expected)


def test_no_two_tensors_are_alike() -> None:
    state = initialise(Llama(CONFIG), seed=7).state_dict()
    firsts = [float(weight.flatten()[0]) for weight in state.values() if weight.ndim == 2]
    assert len(set(firsts)) == len(firsts)


def test_the_spread_is_as_documented() -> None:
    for name, weight in initialise(Llama(CONFIG), seed=7).state_dict().items():
        if weight.ndim == 1:
            assert torch.equal(weight, torch.ones_like(weight)), name
            continue
        residual = name.endswith(("wo.weight", "w2.weight"))
        expected = 0.02 / math.sqrt(2 * CONFIG.n_layers) if residual else 0.02
        assert abs(float(weight.std()) / expected - 1) < 0.03, name
        assert abs(float(weight.mean())) < 4 * expected / math.sqrt(weight.numel()), name


def test_the_seed_of_a_tensor_is_the_same_on_every_machine() -> None:
    assert tensor_seed(1, "layers.0.attention.wq.weight") == 1_755_189_512_202_316_769
    assert tensor_seed(1, "a") != tensor_seed(2, "a") != tensor_seed(2, "b")


def test_a_model_without_memory_is_refused() -> None:
    with torch.device("meta"):
        model = Llama(CONFIG)
    with pytest.raises(ValueError, match="to_empty"):
        initialise(model, seed=0)
