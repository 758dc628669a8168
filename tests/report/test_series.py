"""A comparison at each value of a setting, or by each measure, says in one sentence where a difference begins"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from packtrain.cli import main
from packtrain.report.figures import log_ticks, short
from tests.report.test_comparison import member, told

HURT = {1000: 0.0, 4000: 0.02, 16000: 0.5}  # what repetition adds to the loss after so many tokens
EPOCHS = "compare=data.unique_tokens", "along=data.tokens", "question='Where does it hurt?'"


def epochs(folder: Path) -> Path:
    """Repeated and fresh text after 1 000, 4 000 and 16 000 tokens; the noise of a seed is that of its data."""
    for tokens, more in HURT.items():
        for seed, noise in ((1, 0.0), (2, 0.1), (3, -0.1)):
            odd = 0.03 * (seed - 2)
            member(folder, seed, 3.0 + noise, {"data.tokens": tokens, "data.unique_tokens": None})
            member(folder, seed, 3.0 + noise + more + odd, {"data.tokens": tokens, "data.unique_tokens": 1000})
    return folder


def test_the_sentence_says_from_where_on_repetition_hurts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = epochs(tmp_path / "runs/epochs")
    words = ["measure=[val/loss,val/loss/code]", "reference='data.unique_tokens=null'"]
    lines = told(capsys, f"runs={folder}", *EPOCHS, *words)
    assert lines[0] == (
        "Where does it hurt? data.unique_tokens=1000 against data.unique_tokens=null over 3 seeds: "
        "worse at data.tokens = 16000 (+0.5000 ± 0.0745); "
        "within noise at data.tokens = 1000 (+0.0000 ± 0.0745), 4000 (+0.0200 ± 0.0745) "
        "nats a token."
    )
    page = (folder / "report.html").read_text()
    assert page.index("worse at data.tokens = 16000") < page.index("<table>")
    for name in ("along", "differences", "curves"):
        assert (folder / f"figures/{name}.png").is_file(), name
    assert "data.tokens against" not in page and "Means over seeds against data.tokens" in page


def test_without_a_reference_the_best_at_each_place_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "runs/lr"
    for size, best in (("small", 0.016), ("large", 0.004)):
        for rate in (0.004, 0.016):
            for seed, noise in ((1, 0.0), (2, 0.1)):
                loss = 3.0 + noise + 0.2 * (rate != best) + 0.001 * seed * (rate == best)
                member(sweep, seed, loss, {"model.name": size, "optim.learning_rate": rate})
    words = ["compare=optim.learning_rate", "along=model.name", "measure=val/loss"]
    first = told(capsys, f"runs={sweep}", *words)[0]
    assert first == (
        "Of optim.learning_rate at large 0.004: 3.0515 ± 0.6417 nats a token, before 0.016 by 0.1985 ± 0.0064 "
        "(beyond noise); at small 0.016: 3.0515 ± 0.6417, before 0.004 by 0.1985 ± 0.0064 (beyond noise)."
    )
    page = (sweep / "report.html").read_text()
    assert "Means over seeds against optim.learning_rate" in page  # a curve for each size along the rates


def test_by_each_measure_the_sentence_says_what_a_choice_lifts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, away in (("paper", 0.0), ("without", 0.2)):
        for seed in (1, 2, 3):
            member(tmp_path / f"runs/{name}", seed, 3.0 + 0.1 * seed + away * (1 + 0.01 * seed), {"name": name})
    words = [f"runs=[{tmp_path}/runs/paper,{tmp_path}/runs/without]", "compare=name", "reference=paper"]
    words += ["along=measure", f"output={tmp_path}/runs/without.html"]
    first = told(capsys, *words, "measure=[val/loss,tasks/toy/accuracy]")[0]
    assert first.startswith(
        "without against paper over 3 seeds: worse in val/loss (+0.2040 ± 0.0050), tasks/toy/accuracy (-"
    )
    assert main(["report", *words, "measure=val/loss"]) == 2
    assert "along=measure compares by several measures" in capsys.readouterr().err


def test_a_place_whose_members_failed_is_left_out_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = epochs(tmp_path / "runs/epochs")
    for path in folder.glob("data.tokens=4000,data.unique_tokens=None,*"):
        (path / "summary.json").unlink()
    (folder / "failures.json").write_text(json.dumps({"data.tokens=4000,seed=1": "loss nan at step 3: stopped"}))
    lines = told(capsys, f"runs={folder}", *EPOCHS, "measure=val/loss", "reference='data.unique_tokens=null'")
    assert "16000 (+0.5000 ± 0.0745)" in lines[0] and "4000 (+" not in lines[0]
    left_out = "data.tokens=4000: left out: reference=data.unique_tokens=null is none of the groups"
    assert any(line.startswith(left_out) for line in lines)
    page = (folder / "report.html").read_text()
    assert left_out in page and "loss nan at step 3: stopped" in page


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["along=data.tokns"], "along=data.tokns; did you mean 'data.tokens'?"),
        (["along=model.dim"], "along=model.dim: all 18 runs have 64; give other runs, or no along="),
        (["along=data.tokens", "reference=fresh"], "reference=fresh is none of the groups"),
        (["compare=data.unique_tokens"], "3 of its runs have seed 1: they differ in data.tokens; compare= by that too"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    folder = epochs(tmp_path / "runs/epochs")
    assert main(["report", f"runs={folder}", "measure=val/loss", *words]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


def test_a_logarithmic_axis_has_words_that_do_not_touch() -> None:
    assert log_ticks(1.3e11, 3.9e12) == {2e11: "2e11", 5e11: "5e11", 1e12: "1e12", 2e12: "2e12"}
    assert list(log_ticks(1e9, 3e15).values()) == [f"1e{power:02d}" for power in range(9, 16)]


def test_the_values_along_an_axis_are_said_shortly() -> None:
    assert [short(x) for x in (0.004, 0.016, 512, 32768, 131072, 524288, 2097152)] == (
        ["0.004", "0.016", "512", "33k", "131k", "524k", "2.1M"]
    )
