"""A recipe is a shell story of packtrain commands, and it is short; test_commands composes every one of them"""

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

from packtrain.model.config import ModelConfig, parameter_count

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.sh"))
CONF = Path(__file__).parents[2] / "conf"
RECORD = f"""#!{sys.executable} -S
import json, os, sys
with open(os.environ["SAID"], "a") as said:
    said.write(json.dumps(sys.argv) + "\\n")
"""
PLAIN = re.compile(  # beside packtrain's lines: a recipe that comes first, values of variables, choices, loops
    r"set -eu|sh .*\.sh\"?( \|\| failed=\$\?)?|exit \$\{failed:-0\}|trap 'exit 130' INT"
    r"|\[ \"\$shards\".*\|\| sh .*|(\w+=\S* ?)*|case \$scale in|\w+\) .* ;;|esac|for \w+ in .*; do|done"
)


@cache
def commands(recipe: Path, scale: str = "toy") -> list[list[str]]:
    """The commands of a recipe, as the shell hands them over to a packtrain that does nothing."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "packtrain").write_text(RECORD)
        (folder / "packtrain").chmod(0o755)
        said = folder / "said"
        path = f"{folder}{os.pathsep}{os.environ['PATH']}"
        environment = {"PATH": path, "SAID": str(said), "scale": scale}
        subprocess.run(["sh", str(recipe), "FOLDER", "EVAL"], cwd=folder, env=environment, check=True, timeout=60)
        return [["packtrain", *json.loads(line)[1:]] for line in said.read_text().splitlines()]


def test_there_are_recipes() -> None:
    assert {recipe.name for recipe in RECIPES} >= {"quickstart.sh", "pretrain_7b.sh", "sweep_sizes.sh"}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_recipe_holds_packtrain_commands_only_and_says_what_it_costs(recipe: Path) -> None:
    text = recipe.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    assert "# Costs:" in text and "# You see:" in text
    code = (line.split(" # ")[0].strip() for line in text.splitlines() if not line.lstrip().startswith("#"))
    assert [line for line in code if not line.startswith("packtrain ") and not PLAIN.fullmatch(line)] == []
    assert commands(recipe)


def test_the_shell_hands_over_what_a_user_would_see_run() -> None:
    found = commands(RECIPES[0].parent / "epochs.sh")
    assert found[0] == ["packtrain", "prepare", "domain=python_code", "output=data/python/documents/python_code"]
    assert sum("data.tokens=1048576" in words for words in found) == 1  # 64 times 16 384


@pytest.mark.parametrize(("scale", "served"), [("toy", 1.0e6), ("small", 80e6)])
def test_members_of_overtrain_cost_the_same(scale: str, served: float) -> None:
    costs = []
    for words in commands(RECIPES[0].parent / "overtrain.sh", scale):
        said = dict(word.split("=", 1) for word in words if "=" in word)
        if said.get("name", "").startswith("overtrain-"):
            shape = yaml.safe_load((CONF / "model" / f"{said['model']}.yaml").read_text())
            keys = ("dim", "n_layers", "n_heads", "ffn_multiple_of")
            model = ModelConfig(vocab_size=512, **{key: shape[key] for key in keys if key in shape})
            costs.append(parameter_count(model) * (6 * float(said["data.tokens"].replace("_", "")) + 2 * served))
    assert len(costs) == {"toy": 3, "small": 2}[scale]
    assert max(costs) / min(costs) == pytest.approx(1, abs=0.002)


@pytest.mark.parametrize("name", ["ablations", "epochs", "mixtures", "overtrain", "sweep_lr", "sweep_sizes"])
def test_a_sweep_with_a_failed_member_comes_to_its_page_and_says_so_at_the_end(name: str, tmp_path: Path) -> None:
    program = tmp_path / "packtrain"
    program.write_text(RECORD + "sys.exit(2 if sys.argv[1:3] == ['train', '-m'] else 0)\n")
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "SAID": str(tmp_path / "said")}
    recipe = RECIPES[0].parent / f"{name}.sh"
    done = subprocess.run(["sh", str(recipe), "FOLDER"], cwd=tmp_path, env=environment, check=False, timeout=60)
    said = [json.loads(line)[1] for line in (tmp_path / "said").read_text().splitlines()]
    assert done.returncode == 2 and "report" in said and said[-1] != "train"


def test_the_scores_that_mixtures_reports_are_those_that_its_runs_are_asked() -> None:
    asked = yaml.safe_load((CONF / "experiment/mixture_paper.yaml").read_text())["callbacks"]["downstream"]["tasks"]
    names = [task.partition("@")[0] for task in asked]  # of one number of examples: the column goes without it
    metrics = [yaml.safe_load((CONF / f"tasks/{name}.yaml").read_text())["metric"] for name in names]
    reports = [words for words in commands(RECIPES[0].parent / "mixtures.sh") if words[1] == "report"]
    assert len(reports) == 3
    for words in reports:
        (measures,) = (
            word.removeprefix("measure=[").rstrip("]").split(",") for word in words if "measure=" in word[:9]
        )
        scores = [measure for measure in measures if measure.startswith("tasks/")]
        assert scores == [f"tasks/{name}/{metric}" for name, metric in zip(names, metrics, strict=True)]
