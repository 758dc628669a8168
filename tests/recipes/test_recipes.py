"""A recipe is packtrain commands and nothing else, and it is short; test_commands composes every one of them"""

import shlex
from pathlib import Path

import pytest

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.sh"))


def commands(recipe: Path) -> list[list[str]]:
    """Every command line of a recipe as words, `set -eu` and comments left out."""
    text = recipe.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = (shlex.split(line, comments=True) for line in text.splitlines())
    return [words for words in lines if words and words != ["set", "-eu"]]


def test_there_are_recipes() -> None:
    assert {recipe.name for recipe in RECIPES} >= {"quickstart.sh", "pretrain_7b.sh", "sweep_sizes.sh"}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_recipe_holds_packtrain_commands_only_and_says_what_it_costs(recipe: Path) -> None:
    text = recipe.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    assert "# Costs:" in text and "# You see:" in text
    assert all(words[0] == "packtrain" for words in commands(recipe))
