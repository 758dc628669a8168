"""recipes/data_llama.sh runs from raw files of all seven domains to a model that learnt from their mixture"""

from __future__ import annotations

import json
import shutil
import sysconfig
from pathlib import Path

import pytest

from packtrain.cli import main
from tests.data.corpora import corpora
from tests.recipes.test_recipes import commands

RECIPE = Path(__file__).parents[2] / "recipes" / "data_llama.sh"
SHARES = {"common_crawl": 0.67, "c4": 0.15, "github": 0.045, "wikipedia": 0.045, "books": 0.045, "arxiv": 0.025,
          "stack_exchange": 0.02}  # fmt: skip


@pytest.mark.slow
def test_the_recipe_runs_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, code = corpora(), Path(sysconfig.get_path("purelib"))
    packages = tmp_path / "packages"  # a few of those installed: all of them take minutes
    packages.mkdir()
    for found in [*code.glob("tqdm*"), *code.glob("hydra*"), *code.glob("packaging*")]:
        shutil.copytree(found, packages / found.name)  # links are not followed
    monkeypatch.chdir(tmp_path)
    for words in commands(RECIPE):
        words = [word.replace("FOLDER", str(raw)) for word in words[1:]]
        assert main([*words, f"input={packages}"] if "domain=github" in words else words) == 0, words
    drawn = json.loads((tmp_path / "runs" / "data-llama" / "ledger.json").read_text())["domains"]
    total = sum(domain["realised_tokens"] for domain in drawn.values())
    for name, share in SHARES.items():
        assert drawn[name]["realised_tokens"] / total == pytest.approx(share, abs=0.01)
        assert drawn[name]["realised_epochs"] > 0
