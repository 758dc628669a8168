"""conf/: every command and every choice composes, and what the paper's sizes resolve to"""

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from packtrain import cli_compose, cli_help, settings
from tests.composing import composed, plain

CONF = Path(__file__).parents[2] / "conf"
COMMANDS = cli_help.commands()


def compose(command: str, *overrides: str) -> dict[str, Any]:
    """The plain dict that the job is built from."""
    cfg = composed(command, *overrides)
    for key in OmegaConf.missing_keys(cfg):  # ??? waits for the user's path
        OmegaConf.update(cfg, key, "some/path")
    return plain(cfg, resolve=True)


def job(command: str, *overrides: str) -> Any:
    module = importlib.import_module(f"packtrain.jobs.{command}")
    return settings.build(getattr(module, f"{command.title()}Job"), compose(command, *overrides))


def defaults_of(path: Path) -> list[str]:
    """The keys of a defaults list, in order: `- model: 7b` → model."""
    entries = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("defaults", [])
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_composes_into_its_job(command: str) -> None:
    built = job(command)
    assert type(built).__name__ == f"{command.title()}Job"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_says_what_it_does_and_every_key_what_it_means(command: str) -> None:
    page = cli_help.read_page((CONF / f"{command}.yaml").read_text(encoding="utf-8"))
    assert page.purpose, "the first line of a command's YAML is a comment that says what it does"
    assert [key for key, _, comment in page.keys if not comment] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_self_comes_first_and_experiment_last(command: str) -> None:
    entries = defaults_of(CONF / f"{command}.yaml")
    assert not entries or entries[0] == "_self_"
    assert not [entry for entry in entries[:-1] if "experiment" in entry]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_choice_of_every_group_composes(command: str) -> None:
    page = cli_help.read_page((CONF / f"{command}.yaml").read_text(encoding="utf-8"))
    for group, _, choices in page.groups:
        for choice in choices:
            assert job(command, f"{group}={choice}"), f"{command} {group}={choice}"


PUBLISHED = {  # PAPER: peak learning rate, tokens in a batch, tokens in all
    "7b": (3.0e-4, 4_194_304, 1_000_000_000_000),
    "13b": (3.0e-4, 4_194_304, 1_000_000_000_000),
    "33b": (1.5e-4, 4_194_304, 1_400_000_000_000),
    "65b": (1.5e-4, 4_194_304, 1_400_000_000_000),
}


@pytest.mark.parametrize("size", PUBLISHED)
def test_a_published_size_resolves_to_its_published_recipe(size: str) -> None:
    train = job("train", f"model={size}", "data=llama")
    assert (train.optim.learning_rate, train.data.batch_tokens, train.data.tokens) == PUBLISHED[size]
    assert train.optim.warmup_steps == 2000
    assert train.optim.weight_decay == 0.1 and tuple(train.optim.betas) == (0.9, 0.95)
    assert train.optim.clip == "norm" and train.optim.clip_at == 1.0 and train.optim.final_fraction == 0.1
    assert train.data.sequence_length == 2048 and train.model.vocab_size == 32_000


def test_the_mixture_of_the_paper_sums_to_one() -> None:
    weights = job("plan").data.weights
    assert len(weights) == 7 and sum(weights.values()) == pytest.approx(1.0, abs=1e-12)
    assert weights["common_crawl"] == 0.67 and weights["wikipedia"] == 0.045


def test_the_mixture_of_a_run_and_of_a_pack_s_ledger_is_one_table() -> None:
    assert job("pack", "weights=llama").weights == job("plan").data.weights
    assert job("train", "data=llama", "data.weights.books=0").data.weights["books"] == 0


def test_a_tilde_is_the_home_in_every_value_but_a_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert cli_compose.at_home({"output": "~/x", "input": ["~", "a~/b", "~other"], "prompt": "~/bin"}) == {
        "output": "/home/me/x", "input": ["/home/me", "a~/b", "~other"], "prompt": "~/bin",
    }  # fmt: skip


def test_an_override_of_the_recipe_wins() -> None:
    train = job("train", "model=7b", "data=llama", "optim.learning_rate=1e-3", "data.tokens=1e9")
    assert train.optim.learning_rate == 1e-3 and train.data.tokens == 10**9
