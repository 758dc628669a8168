"""A recipe is packtrain commands and nothing else, short, and every one of them composes."""

import shlex
from pathlib import Path

import pytest

from packtrain import cli

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


@pytest.mark.parametrize(
    "words", [words for recipe in RECIPES for words in commands(recipe)], ids=lambda words: " ".join(words)[:70]
)
def test_every_command_of_a_recipe_composes(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    command, *rest = words[1:]
    members = [[]]
    for word in [word for word in rest if word != "-m"]:  # a sweep composes as each of its members
        key, _, value = word.partition("=")
        choices = value.split(",") if "-m" in rest else [value]
        members = [[*member, f"{key}={choice}"] for member in members for choice in choices]
    for member in members:
        assert cli.main([command, *member, "--cfg", "job", "--resolve"]) == 0, capsys.readouterr().err
