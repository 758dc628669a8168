"""A sweep's page answers its question first: groups of seeds, intervals that an outsider's formula gives, noise said"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pytest
import yaml

from packtrain.cli import main
from packtrain.jobs.report import read_all
from packtrain.report.answer_page import answer_pictures
from packtrain.report.comparison import compare
from packtrain.report.spread import Spread, student


def member(folder: Path, seed: int, loss: float | None, chosen: dict[str, Any] | None = None) -> Path:
    """A finished run (loss None: one that is not) as train leaves it."""
    settings = chosen or {}
    path = folder / ",".join([*(f"{k}={v}".replace("/", "-") for k, v in settings.items()), f"seed={seed}"])
    path.mkdir(parents=True)
    config: dict[str, Any] = {
        "name": "ablations", "run_dir": str(path), "seed": seed,
        "model": {"dim": 64, "norm": "rms", "positions": "rotary"}, "optim": {"learning_rate": 1e-3},
        "data": {"path": "/somewhere/data/toy/shards", "tokens": 8000}, "fingerprints": {"data": "a"},
    }  # fmt: skip
    for key, value in settings.items():
        part, _, name = key.rpartition(".")
        (config[part] if part else config)[name] = value
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    if loss is None:
        return path
    rows = ["step,tokens,train/loss,val/loss,val/loss/code,val/bits_per_byte,tasks/toy/accuracy"]
    rows += [f"{n},{n * 1000},{loss + 1 / n},{loss},{loss + 0.1},{loss / 2},{1 / loss}" for n in (4, 8)]
    (path / "metrics.csv").write_text("\n".join(rows) + "\n")
    (path / "summary.json").write_text(json.dumps({"finished": True, "step": 8, "tokens": 8000, "train_loss": loss}))
    return path


SPREAD = {1: 0.00, 2: 0.03, 3: -0.03}


def ablations(folder: Path) -> Path:
    """A baseline, one choice that loses, one within noise, one that wins, one that failed in all seeds but one."""
    for seed, noise in SPREAD.items():
        member(folder, seed, 3.0 + noise)
        member(folder, seed, 3.2 + noise + 0.001 * seed, {"model.norm": "layer"})
        member(folder, seed, 3.0 + noise + (0.01, -0.02, 0.011)[seed - 1], {"model.positions": "learned"})
        member(folder, seed, 2.8 + noise - 0.002 * seed, {"optim.learning_rate": 2e-3})
        member(folder, seed, None if seed > 1 else 4.0, {"model.positions": "none"})
    return folder


def told(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main(["report", *words]) == 0, capsys.readouterr().err
    return capsys.readouterr().out.splitlines()


# Quantiles of Student's t at 0.975 from the NIST/SEMATECH handbook of statistical methods, section 1.3.6.7.2
NIST = {1: 12.706, 2: 4.303, 4: 2.776, 9: 2.262, 20: 2.086, 30: 2.042, 60: 2.000, 100: 1.984}


@pytest.mark.parametrize("freedom", NIST)
def test_the_interval_is_students(freedom: int) -> None:
    assert student(freedom) == pytest.approx(NIST[freedom], abs=2e-3)
    values = [2.0 + 0.1 * ((7 * i) % 5) for i in range(freedom + 1)]
    found = Spread.of(values)
    assert found is not None and found.half is not None and found.mean == pytest.approx(statistics.mean(values))
    expected = NIST[freedom] * statistics.stdev(values) / (freedom + 1) ** 0.5
    assert found.half == pytest.approx(expected, rel=2e-3)
    assert Spread(-0.00001, 0.1, 2).signed() == "+0.0000 ± 0.1000" and Spread(-0.2, None, 1).signed() == "-0.2000"
    assert Spread.of([2.0]) == Spread(2.0, None, 1) and Spread.of([]) is None


def test_the_first_sentence_answers_with_a_figure_and_a_spread(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ablations(tmp_path / "runs/ablations")
    lines = told(capsys, f"runs={folder}", "question='What helps?'", "measure=[val/loss,val/loss/code]")
    first = lines[0]
    assert first.startswith("What helps? optim.learning_rate=0.002: 2.7960 ± 0.0")
    assert "nats a token over 3 seeds, against 3.0000 ± 0.0745 of the reference, baseline" in first
    assert "(difference -0.2040 ± 0.0050, beyond noise)" in first
    assert "1 better, 1 within noise, 1 worse." in first
    page = (folder / "report.html").read_text()
    assert page.index("What helps? optim.learning_rate=0.002") < page.index("<table>")
    assert "data:" not in page and "http" not in page.replace("http://www.w3.org", "")
    assert (folder / "figures/ranking.png").is_file() and (folder / "figures/curves.png").is_file()
    table = {line.split("  ")[0]: line for line in lines[3:9]}
    assert "within noise" in table["model.positions=learned"] and "worse" in table["model.norm=layer"]
    assert "reference" in table["baseline"] and "3.1000 ± 0.0745" in table["baseline"]  # the domain's own column
    assert (
        "1, 2 without a figure" in table["model.positions=none"]
        and "one seed: no spread" in table["model.positions=none"]
    )
    order = [line.split("  ")[0] for line in lines[4:9]]
    assert order == [
        "optim.learning_rate=0.002",
        "baseline",
        "model.positions=learned",
        "model.norm=layer",
        "model.positions=none",
    ]


def test_a_failed_seed_is_left_out_of_both_sides_of_a_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, loss in ((1, 3.0), (2, 3.5), (3, 4.0)):
        member(tmp_path / "runs/odd", seed, loss)
        member(tmp_path / "runs/odd", seed, None if seed == 3 else loss + 0.1 + 0.001 * seed, {"model.norm": "layer"})
    lines = told(
        capsys, f"runs={tmp_path}/runs/odd", "compare=model.norm", "measure=val/loss", "reference='model.norm=rms'"
    )
    (row,) = [line for line in lines if line.startswith("model.norm=layer ")]
    assert "3.3515 ±" in row and "+0.1015 ± 0.0064  worse" in row, "of seeds 1 and 2, though the reference has three"


def test_where_nothing_is_beyond_noise_the_sentence_begins_with_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, noise in SPREAD.items():
        member(tmp_path / "runs/odd", seed, 3.0 + noise)
        member(tmp_path / "runs/odd", seed, 2.99 - noise, {"model.norm": "layer"})
        member(tmp_path / "runs/odd", seed, 3.1 + noise, {"model.positions": "none"})
    first = told(capsys, f"runs={tmp_path}/runs/odd", "question='What helps?'", "measure=val/loss")[0]
    assert first.startswith(
        "What helps? None beyond noise; the best figure is that of model.norm=layer: 2.9900 ± 0.0745"
    )


def test_one_setting_is_compared_with_the_best_and_a_score_is_better_where_it_is_higher(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, noise in SPREAD.items():
        for tokens, loss in ((1000, 4.0), (2000, 3.0), (4000, 3.0001)):
            member(
                tmp_path / "runs/long", seed, loss + noise + 0.0002 * seed * (tokens == 2000), {"data.tokens": tokens}
            )
    lines = told(capsys, f"runs={tmp_path}/runs/long", "compare=data.tokens", "question='How long?'")
    assert lines[0].startswith("How long? data.tokens=4000: 1.50") and "bits a byte" in lines[0]
    assert "of the next best, data.tokens=2000" in lines[0] and "within noise" in lines[0]
    lines = told(capsys, f"runs={tmp_path}/runs/long", "compare=data.tokens", "measure=tasks/toy/accuracy")
    assert lines[0].startswith("data.tokens=4000: 0.33")
    assert [line.split()[0] for line in lines if line.startswith("data.tokens=1000 ")] and "worse" in "".join(lines[1:])


def test_packs_are_called_by_their_folders_and_bits_a_byte_compare_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (1, 2):
        member(tmp_path / "runs/digits", seed, 3.0 + 0.01 * seed)
        path = member(tmp_path / "runs/digits", seed, 3.1 + 0.01 * seed, {"data.path": "/elsewhere/data/joined/shards"})
        config = yaml.safe_load((path / "config.yaml").read_text())
        (path / "config.yaml").write_text(yaml.safe_dump({**config, "fingerprints": {"data": "b", "tokenizer": "c"}}))
    first = told(capsys, f"runs={tmp_path}/runs/digits", "question='Do digits matter?'")[0]
    assert "data.path=toy/shards: 1.50" in first and "data.path=joined/shards" in first and "bits a byte" in first


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["compare=model.nrm"], "compare=model.nrm; did you mean 'model.norm'?"),
        (["compare=model.dim"], "compare=model.dim: no two of the 15 runs differ in it but by their seed"),
        (["measure=[val/loss,val/loss/cod]"], "val/loss/cod: no finished run has it; did you mean 'val/loss/code'?"),
        (["measure=val/los"], "measure=val/los: no finished run has it; did you mean 'val/loss'?"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    folder = ablations(tmp_path / "runs/ablations")
    assert main(["report", f"runs={folder}", *words]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


def test_one_run_alone_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = member(tmp_path / "runs/pair", 1, 3.0)
    assert main(["report", f"runs={one}", "question='Is it good?'"]) == 2
    assert "by comparing runs, here is one alone; give runs=[A,B], or a sweep's" in capsys.readouterr().err
    (one.parent / "failures.json").write_text(json.dumps({"model.norm=odd,seed=1": "loss nan at step 3: stopped"}))
    assert main(["report", f"runs={one.parent}", "question='Is it good?'"]) == 2
    assert "seed=1 is alone: model.norm=odd,seed=1 failed: loss nan at step 3" in capsys.readouterr().err


def test_a_member_that_failed_is_shown_and_the_others_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ablations(tmp_path / "runs/ablations")
    (folder / "failures.json").write_text(json.dumps({"model.norm=odd,seed=1": "loss nan at step 3: stopped"}))
    lines = told(capsys, f"runs={folder}", "question='What helps?'")
    assert any("model.norm=odd,seed=1 failed: loss nan at step 3: stopped" in line for line in lines)
    assert "loss nan at step 3" in (folder / "report.html").read_text()


def test_sizes_of_several_lengths_are_all_drawn(tmp_path: Path) -> None:
    """Held out twice in each run is no curve: the training loss is drawn, and against FLOPs, for sizes differ."""
    for dim in (64, 96):
        for seed in (1, 2):
            path = member(tmp_path / "runs/sizes", seed, 3.0 + dim / 100, {"model.dim": dim})
            summary = json.loads((path / "summary.json").read_text())
            (path / "summary.json").write_text(json.dumps({**summary, "parameters": dim * 1000}))
    found = compare(read_all([*(tmp_path / "runs/sizes").iterdir()], tmp_path, [])[0], ["model.dim"], ["val/loss"])
    drawn = {picture.name: picture for picture in answer_pictures(found)}
    assert list(drawn) == ["ranking", "curves", "flops"] and drawn["curves"].title.startswith("train/loss")
    for name in ("curves", "flops"):
        assert len(drawn[name].figure.axes[0].lines) == 2, name
