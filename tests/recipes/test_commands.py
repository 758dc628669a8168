"""Every packtrain command in README.md and docs/ composes into its job, as the recipes' do"""

import importlib
import re
import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from packtrain import cli_compose, cli_help, settings
from tests.composing import composed, plain
from tests.recipes import test_recipes

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(text: str) -> list[str]:
    """The command lines of a page: those of its fenced blocks, continuations joined, prompts removed."""
    text = "\n".join(re.findall(r"^```[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    lines = text.replace("\\\n", " ").splitlines()
    found = (re.match(r"\s*(?:\$ )?(?:\.venv/bin/)?(packtrain .*)", line) for line in lines)
    return [match[1].strip() for match in found if match]


def is_example(command: str) -> bool:
    """Not a form to fill in (`packtrain train model=<size>`, `COMMAND`, `…`)."""
    return not re.search(r"<\w|\bCOMMAND\b|…|\.\.\.", command)


ALL = [
    pytest.param(command, id=f"{page.name}: {command[:60]}")
    for page in PAGES
    if page.is_file()
    for command in commands(page.read_text(encoding="utf-8"))
    if is_example(command)
]
OF_RECIPES = dict.fromkeys(  # of every scale; a recipe that another calls is met once
    shlex.join(words)
    for recipe in test_recipes.RECIPES
    for scale in ("toy", "small")
    for words in test_recipes.commands(recipe, scale)
)
ALL += [pytest.param(line, id=f"recipes: {line[:90]}") for line in OF_RECIPES]


def members(engine: cli_compose.Hydra, overrides: list[str]) -> list[list[str]]:
    """The overrides of a sweep's first and last member: enough to meet every key, not every combination."""
    parsed = OverridesParser.create(config_loader=engine.config_loader).parse_overrides(overrides)
    choices = [
        [f"{o.get_key_element()}={value}" for value in o.sweep_string_iterator()]
        if o.is_sweep_override()
        else [str(o.input_line)]
        for o in parsed
    ]
    return [[choice[0] for choice in choices], [choice[-1] for choice in choices]]


@pytest.mark.parametrize("line", ALL)
def test_a_printed_command_composes_into_its_job(line: str) -> None:
    words = shlex.split(line.split(" | ")[0].split(" > ")[0], comments=True)[1:]
    if not words or words[0] == "completion" or words[0].startswith("-"):
        return
    command, rest = words[0], words[1:]
    assert command in cli_help.commands()
    if "--help" in rest or "-h" in rest:
        return
    options = cli_compose.parse(rest, command)
    with cli_compose.engine() as engine:
        several = members(engine, options.overrides) if options.multirun else [options.overrides]
    for overrides in several:
        values = plain(composed(command, *overrides), resolve=True, throw_on_missing=not options.cfg)
        if not options.cfg:
            module = importlib.import_module(f"packtrain.jobs.{command}")
            settings.build(getattr(module, f"{command.title()}Job"), values)


def test_the_reader_of_pages_finds_commands_and_leaves_forms_out() -> None:
    page = "text packtrain no\n```bash\n$ packtrain plan \\\n  model=7b\nls\npacktrain train data=<yours>\n```\n"
    assert commands(page) == ["packtrain plan    model=7b", "packtrain train data=<yours>"]
    assert is_example("packtrain plan model=7b") and not is_example("packtrain train data=<yours>")
    assert not is_example("packtrain COMMAND --help")
