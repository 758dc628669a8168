"""conf/ablation/*.yaml: each is one delta that does something, and the recipe runs every one of them"""

from __future__ import annotations

import importlib.resources
from typing import Any

import pytest

from packtrain.report.differences import flatten
from tests import composing
from tests.recipes.test_recipes import RECIPES, commands

FOLDER = importlib.resources.files("packtrain.conf").joinpath("ablation")
NAMES = sorted(path.name.removesuffix(".yaml") for path in FOLDER.iterdir() if path.name.endswith(".yaml"))
SWITCHES = {
    "post_norm": "model.norm_placement", "layer_norm": "model.norm", "gelu": "model.feed_forward",
    "relu": "model.feed_forward", "learned_positions": "model.positions", "sinusoidal_positions": "model.positions",
    "no_positions": "model.positions", "tied_embeddings": "model.tied_embeddings",
    "document_mask": "data.document_mask", "clip_value": "optim.clip", "clip_off": "optim.clip",
    "joined_digits": "data.path", "baseline": None,
}  # fmt: skip


def composed(*overrides: str) -> dict[str, Any]:
    return flatten(composing.plain(composing.composed("train", "experiment=study", "model=170k", *overrides)))


@pytest.mark.parametrize("name", NAMES)
def test_an_ablation_changes_its_switch_and_nothing_else(name: str) -> None:
    plain, other = composed(), composed(f"+ablation={name}")
    changed = {key for key in plain.keys() | other.keys() if plain.get(key) != other.get(key)}
    expected = {SWITCHES[name]} - {None}
    assert changed - {"optim.clip_at"} == expected
    assert other.keys() == plain.keys(), "an ablation names a setting that there is not"


def test_the_recipe_runs_all_of_them_with_three_seeds() -> None:
    recipe = next(path for path in RECIPES if path.name == "ablations.sh")
    sweep = next(words for words in commands(recipe) if "train" in words)
    chosen = next(word for word in sweep if word.startswith("+ablation=")).partition("=")[2].split(",")
    assert sorted(chosen) == NAMES == sorted(SWITCHES)
    assert "seed=1,2,3" in sweep
