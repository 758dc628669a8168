"""TensorBoard as a person sees it: runs of a sweep over each other against tokens, and compared by what was varied"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from tensorboard.plugins.hparams import plugin_data_pb2

from packtrain.training.dashboard import hyperparameters, layout_summary, varied
from packtrain.training.events import read_events
from packtrain.training.loggers import TensorBoardLogger
from packtrain.training.versions import note_start, repository_commit
from tests.browser import EVERYTHING, Browser, chromium
from tests.conftest import Outcome

messages: Any = plugin_data_pb2  # made at run time: no checker of types knows their names
DOMAINS = ("wiki", "code")
ROWS = 40
# Every chart on the page: its title, and the colour and the number of points of each line drawn on it.
CHARTS = f"""(() => {{ {EVERYTHING}
  const cards = all(document).filter((e) => e.tagName === 'TF-CUSTOM-SCALAR-MULTI-LINE-CHART-CARD');
  return cards.map((card) => {{
    const parts = all(card.shadowRoot || card);
    const lines = parts.filter((e) => e.matches('path.line') && e.getAttribute('d'));
    const points = (line) => line.getAttribute('d').match(/[ML]/g).length;
    return [parts.find((e) => e.tagName === 'TF-CARD-HEADING').displayName,
            lines.map((e) => [e.getAttribute('stroke') || e.style.stroke, points(e)])];
  }});
}})()"""
CELLS = f"""(() => {{ {EVERYTHING}
  const own = (e) => [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.textContent.trim()).join("");
  return all(document).map(own).filter(Boolean);
}})()"""


def config(dim: int) -> dict[str, Any]:
    model = {"dim": dim, "n_layers": 4, "recipe": {"optim": 1}}
    data = {"weights": dict.fromkeys(DOMAINS, 1.0), "tokens": 1e6, "path": "/somewhere", "held_out": None}
    return {
        "name": "x",
        "model": model,
        "data": data,
        "attention": "auto",
        "optim": {"learning_rate": 1e-3, "betas": [0.9, 0.95]},
    }


def sweep(folder: Path) -> Path:
    """Two sizes that have trained on as many tokens, the larger in half as many steps."""
    for number, (name, tokens) in enumerate({"model=1m": 1000, "model=5m": 2000}.items()):
        logger = TensorBoardLogger(str(folder / name))
        logger.log_hyperparams(config(64 << number))
        for step in range(1, 1 + ROWS * 1000 // tokens):
            row = {f"val/loss/{domain}": 5 - number - 0.01 * step for domain in DOMAINS}
            row |= {
                "train/loss": 6 - number - 0.02 * step,
                "val/loss": 5.0 - number,
                "train/lr": 1e-3,
                "train/grad_norm": 1.0,
            }
            row |= {"throughput/tokens_per_second": 100.0 + step, "throughput/mfu": 0.4, "throughput/hfu": 0.5}
            row |= {f"throughput/seconds/{part}": 0.1 for part in ("data", "compute")}
            row |= {"carbon/energy_kwh": 0.1 * step, "carbon/co2eq_g": 38.5 * step, "carbon/projected_kwh": 4.0}
            logger.log_metrics({"tokens": step * tokens, **row}, step=step)
        logger.finish()
        logger.experiment.close()
    return folder


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """TensorBoard on a free port of this machine, over the two runs."""
    chromium()
    logs = sweep(tmp_path_factory.mktemp("sweep"))
    words = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logs), "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as server:
        assert server.stdout is not None
        try:
            said = []
            for line in server.stdout:
                said.append(line)
                if found := re.search(r"http://[\w.]+:(\d+)/", line):
                    yield f"http://127.0.0.1:{found[1]}/"
                    break
            else:
                pytest.fail("TensorBoard did not start: " + "".join(said))
        finally:
            os.killpg(server.pid, signal.SIGTERM)  # its data server, too


def test_tensorboard_draws_both_sizes_over_each_other_against_tokens_and_compares_their_settings(address: str) -> None:
    charts = ["training", "held out, by the mixture's weights", *(f"held out, {domain}" for domain in DOMAINS),
              "tokens per second", "learning rate", "gradient norm"]  # fmt: skip
    with Browser(1280, 4000) as page:
        page.open(f"{address}#custom_scalars")
        page.wait(f"(c => {json.dumps(charts)}.every(t => c.some(([n, l]) => n === t && l.length >= 4)))({CHARTS})")
        drawn = dict(page.ask(CHARTS))
        texts = page.ask(CELLS)
        page.open(f"{address}?again#hparams")
        page.wait(f"{CELLS}.includes('model=5m')")
        table = page.ask(CELLS)
    for title in charts:
        assert len({colour for colour, points in drawn[title]}) == 2, f"{title}: two runs, two colours: {drawn[title]}"
        assert {points for _, points in drawn[title]} == {ROWS, ROWS // 2}, title
    assert len(drawn["held out, every domain"]) == 2 * len(drawn["training"]), "two domains of two runs"
    assert "kWh so far, with PUE; and foreseen at the end" in drawn
    assert texts.count("40k") >= len(charts), "the axis counts tokens, not steps"
    assert {"model.dim", "64.000", "128.00", "model=1m", "Success"} <= set(table)
    assert table.index("model.dim") < table.index("attention"), "what the sweep varied comes first"
    assert all(request.startswith(("http://127.0.0.1:", "data:", "blob:")) for request in page.requests)


def test_settings_are_compared_by_dotted_names_without_paths_and_recipes(tmp_path: Path) -> None:
    found = hyperparameters(config(64))
    assert found["model.dim"] == 64 and found["optim.betas"] == "[0.9, 0.95]" and found["data.held_out"] == "null"
    assert not [name for name in found if "path" in name or "recipe" in name or name == "name"]
    assert varied(found, tmp_path / "model=5m,optim.betas=1") == {"model.dim", "model.n_layers", "optim.betas"}
    assert "optim.learning_rate" in varied(found, tmp_path / "quickstart")


def test_a_chart_of_scores_is_there_where_tasks_are_asked() -> None:
    scores = "Scores against tokens"
    assert scores in str(layout_summary((), scores=True)) and scores not in str(layout_summary(("wiki",)))


def test_a_run_and_its_resume_hold_the_layout_the_settings_and_one_end(train: Callable[..., Outcome]) -> None:
    assert train("+callbacks.stop._target_=tests.distributed.stop.Stop", "+callbacks.stop.step=10").code == 1
    outcome = train()
    assert outcome.code == 0, outcome.err
    events = [e for file in outcome.run_dir.glob("events.out.*") for e in read_events(file)]
    values = [value for event in events for value in event.summary.value]
    tags = [value.tag for value in values]
    session = next(v for v in values if v.tag == "_hparams_/session_start_info")
    start = messages.HParamsPluginData.FromString(session.metadata.plugin_data.content).session_start_info
    assert start.hparams["model.dim"].number_value == 32
    assert "custom_scalars__config__" in tags and tags.count("_hparams_/session_end_info") == 1
    tokens = sorted(e.step for e in events if any(v.tag == "train/loss_vs_tokens" for v in e.summary.value))
    assert tokens == [256 * step for step in range(1, 21)]
    for domain in ("a", "b"):
        assert f"val/loss/{domain}_vs_tokens" in tags
    starts = json.loads((outcome.run_dir / "versions.json").read_text())["starts"]
    assert [start["from_step"] for start in starts] == [0, 10]
    assert starts[1]["torch"] == version("torch") and starts[1]["device"] == "cpu"
    assert {"throughput/tokens_per_second_vs_tokens", "carbon/energy_kwh_vs_tokens", "train/lr_vs_tokens"} <= set(tags)


def test_the_commit_is_that_of_a_repository_which_tracks_the_file(tmp_path: Path) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "tracked.py").write_text("1")
    for words in (["init", "-q"], ["add", "tracked.py"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    (tmp_path / "installed.py").write_text("1")  # as packtrain in a virtual environment inside somebody's repository
    commit = repository_commit(tmp_path / "tracked.py")
    assert commit is not None and re.fullmatch(r"[0-9a-f]{40}", commit)
    assert repository_commit(tmp_path / "installed.py") is None
    (tmp_path / "tracked.py").write_text("2")
    assert repository_commit(tmp_path / "tracked.py") == f"{commit}-dirty"


def test_a_damaged_file_of_versions_begins_anew(tmp_path: Path) -> None:
    for content in ("{", "[]", '{"starts": 3}'):
        (tmp_path / "versions.json").write_text(content)
        note_start(tmp_path, 7, "cpu")
        assert [s["from_step"] for s in json.loads((tmp_path / "versions.json").read_text())["starts"]] == [7]
