"""model/config.py: what the numbers of a size add up to, and how wrong ones are refused"""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from packtrain.errors import UserError
from packtrain.model.config import ModelConfig, Recipe, non_embedding_parameters, parameter_count
from packtrain.settings import build

SMALL = ModelConfig(dim=64, n_layers=2, n_heads=4, vocab_size=100)


@pytest.mark.parametrize(
    ("dim", "hidden"), [(4096, 11008), (5120, 13824), (6656, 17920), (8192, 22016)], ids=["7b", "13b", "33b", "65b"]
)
def test_the_feed_forward_has_the_published_width(dim: int, hidden: int) -> None:
    assert ModelConfig(dim, 1, dim // 128).hidden_dim == hidden


def test_a_given_feed_forward_width_wins() -> None:
    assert dataclasses.replace(SMALL, ffn_dim=96).hidden_dim == 96


def test_grouped_heads_shrink_keys_and_values_alone() -> None:
    grouped = dataclasses.replace(SMALL, n_kv_heads=1)
    saved = 2 * (64 * 64 - 64 * 16) * SMALL.n_layers
    assert parameter_count(SMALL) - parameter_count(grouped) == saved


def test_non_embedding_parameters_leave_out_both_tables() -> None:
    assert parameter_count(SMALL) - non_embedding_parameters(SMALL) == 2 * 100 * 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": 4100, "n_heads": 32}, "dim=4100 is not divisible by n_heads=32; nearest: 4096"),
        ({"dim": 12, "n_heads": 4}, "heads of 3, which must be even"),
        ({"n_kv_heads": 3}, "n_heads=4 is not divisible by n_kv_heads=3; nearest: 2"),
        ({"n_layers": 0}, "model.n_layers=0: expected a positive number"),
        ({"norm_eps": 0.0}, "model.norm_eps=0.0: expected a positive number"),
        ({"vocab_size": -1}, "model.vocab_size=-1: expected a positive number or null"),
    ],
)
def test_numbers_that_do_not_fit_are_refused_with_the_remedy(change: dict, message: str) -> None:
    with pytest.raises(UserError) as caught:
        dataclasses.replace(SMALL, **change)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_nearest_dim_that_a_message_names_is_accepted() -> None:
    with pytest.raises(UserError) as caught:
        ModelConfig(dim=100, n_layers=1, n_heads=12)
    nearest = int(str(caught.value).rsplit(" ", 1)[1])
    assert ModelConfig(dim=nearest, n_layers=1, n_heads=12).head_dim % 2 == 0


def test_a_count_without_a_vocabulary_is_refused() -> None:
    with pytest.raises(UserError, match="vocab_size"):
        parameter_count(dataclasses.replace(SMALL, vocab_size=None))


@pytest.mark.parametrize("key", ["learning_rate", "batch_tokens", "tokens", "warmup_steps"])
def test_a_recipe_refuses_negative_numbers(key: str) -> None:
    recipe = Recipe(learning_rate=1e-3, batch_tokens=1024, tokens=10_000, warmup_steps=0)
    with pytest.raises(UserError, match=f"recipe.{key}"):
        dataclasses.replace(recipe, **{key: -1})


def test_a_configuration_survives_the_checkpoint_as_plain_values() -> None:
    config = dataclasses.replace(SMALL, recipe=Recipe(1e-3, 1024, 10_000, 10), name="small")
    assert build(ModelConfig, dataclasses.asdict(config)) == config


def test_an_unknown_key_is_named_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'model\.n_layer'; did you mean 'n_layers'"):
        build(ModelConfig, {"dim": 64, "n_layer": 2, "n_heads": 4}, "model")


def test_a_wrong_type_is_answered_with_the_expected_one() -> None:
    with pytest.raises(UserError, match=r"model\.dim='wide': expected integer"):
        build(ModelConfig, {"dim": "wide", "n_layers": 2, "n_heads": 4}, "model")


def test_sizes_are_known_without_importing_torch() -> None:
    code = "import sys, packtrain.model.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
