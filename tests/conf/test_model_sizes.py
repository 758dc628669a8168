"""conf/model/*.yaml: every size composes, and the counts in its comment are the true ones"""

from __future__ import annotations

import importlib.resources
import re
from pathlib import Path

import pytest
import torch

from packtrain.model.config import ModelConfig, parameter_count
from packtrain.model.llama import Llama
from packtrain.settings import build
from tests import composing

LADDER = ["1m", "5m", "15m", "60m", "150m", "400m", "1b"]
STUDIES = ["60k", "170k", "320k", "730k"]  # with 512 pieces
PUBLISHED = {
    "7b": (6_738_415_616, 3.0e-4, 1_000_000_000_000),
    "13b": (13_015_864_320, 3.0e-4, 1_000_000_000_000),
    "33b": (32_528_943_616, 1.5e-4, 1_400_000_000_000),
    "65b": (65_285_660_672, 1.5e-4, 1_400_000_000_000),
}
COMMENT = re.compile(r"# parameters: ([\d ]+) with vocabulary ([\d ]+); ([\d ]+) with ([\d ]+)$", re.MULTILINE)


def composed(size: str, vocab_size: int = 32_000) -> ModelConfig:
    cfg = composing.composed("plan", f"model={size}", f"data.vocab_size={vocab_size}")
    return build(ModelConfig, composing.plain(cfg.model, resolve=True), "model")


def test_these_are_all_sizes() -> None:
    files = {path.name for path in importlib.resources.files("packtrain.conf").joinpath("model").iterdir()}
    assert files == {f"{size}.yaml" for size in [*LADDER, *PUBLISHED, *STUDIES, "base"]}


@pytest.mark.parametrize("size", PUBLISHED)
def test_a_published_size_has_exactly_the_parameters_of_the_paper(size: str) -> None:
    config = composed(size)
    with torch.device("meta"):
        model = Llama(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == PUBLISHED[size][0]
    assert parameter_count(config) == PUBLISHED[size][0]


@pytest.mark.parametrize("size", PUBLISHED)
def test_a_published_size_trains_as_the_paper_did(size: str) -> None:
    config = composed(size)
    assert config.recipe is not None
    assert (config.recipe.learning_rate, config.recipe.tokens) == PUBLISHED[size][1:]
    assert (config.recipe.batch_tokens, config.recipe.warmup_steps) == (4_194_304, 2_000)
    assert (config.max_sequence_length, config.rope_theta, config.norm_eps) == (2048, 10_000.0, 1e-6)


@pytest.mark.parametrize("size", [*LADDER, *PUBLISHED, *STUDIES])
def test_the_counts_in_the_comment_are_exact(size: str) -> None:
    text = importlib.resources.files("packtrain.conf").joinpath("model", f"{size}.yaml").read_text(encoding="utf-8")
    found = COMMENT.search(text)
    assert found is not None
    count, vocabulary, other_count, other_vocabulary = (int(group.replace(" ", "")) for group in found.groups())
    assert {vocabulary, other_vocabulary} == ({512, 4_096} if size in STUDIES else {4_096, 32_000})
    assert parameter_count(composed(size, vocabulary)) == count
    assert parameter_count(composed(size, other_vocabulary)) == other_count


@pytest.mark.parametrize("size", [*LADDER, *PUBLISHED, *STUDIES])
def test_a_name_tells_the_size_and_the_recipe_divides(size: str) -> None:
    config = composed(size, 512 if size in STUDIES else 4_096 if size in ("1m", "5m", "15m") else 32_000)
    assert config.name == size
    nominal = int(size[:-1]) * {"k": 1000, "m": 10**6, "b": 10**9}[size[-1]]
    assert abs(parameter_count(config) / nominal - 1) < 0.1
    assert 32 <= config.head_dim <= 128
    assert config.recipe is not None
    assert config.recipe.batch_tokens % 2048 == 0
    assert config.recipe.warmup_steps < config.recipe.tokens // config.recipe.batch_tokens
    if size not in PUBLISHED:
        assert 15 < config.recipe.tokens / parameter_count(config) < 25


def test_smaller_models_learn_at_higher_rates() -> None:
    recipes = [composed(size).recipe for size in [*LADDER, *PUBLISHED]]
    rates = [recipe.learning_rate for recipe in recipes if recipe is not None]
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("size", [*LADDER, *PUBLISHED])
def test_the_table_of_the_documentation_is_the_configuration(size: str) -> None:
    page = Path(__file__).parents[2] / "docs" / "model.md"
    row = next(line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith(f"| {size} |"))
    cells = [cell.strip().replace(" ", "") for cell in row.strip("|").split("|")]
    config = composed(size)
    assert config.recipe is not None
    sizes = [config.dim, config.n_layers, config.n_heads, config.hidden_dim]
    counts = [parameter_count(composed(size, 4_096)), parameter_count(config)]
    assert [int(cell) for cell in cells[1:7]] == sizes + counts
    rate, batch, tokens, warmup = cells[7:]
    assert (float(rate), int(batch), int(warmup)) == (
        config.recipe.learning_rate,
        config.recipe.batch_tokens,
        config.recipe.warmup_steps,
    )
    assert round(float(tokens[:-1]) * {"M": 10**6, "B": 10**9, "T": 10**12}[tokens[-1]]) == config.recipe.tokens


@pytest.mark.parametrize("vocabulary", [4_096, 32_000])
def test_the_ladder_rises_with_either_vocabulary(vocabulary: int) -> None:
    counts = [parameter_count(composed(size, vocabulary)) for size in [*LADDER, *PUBLISHED]]
    assert counts == sorted(counts)
