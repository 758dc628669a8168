"""The thesis as a tool: more tokens served, a smaller model trained for longer; a law fitted from one's own sweep"""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from packtrain import cli
from packtrain.errors import UserError
from packtrain.estimate.scaling import LAWS
from packtrain.estimate.sweep_fit import Point, fit_law
from packtrain.estimate.thesis import LADDER, compare, ladder, overtraining
from packtrain.model.config import ModelConfig, parameter_count

CONF = Path(__file__).parents[2] / "conf" / "model"
LIKE = ModelConfig(dim=4096, n_layers=32, n_heads=32, vocab_size=32_000, name="7b")


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert cli.main(["plan", *words, "format=json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", list(LAWS))
def test_a_law_and_its_inverses_agree(name: str) -> None:
    law = LAWS[name]
    loss = law.loss(7e9, 1e12)
    assert law.tokens_for(7e9, loss) == pytest.approx(1e12)
    N = law.optimal_parameters(loss)
    best = law.optimal_tokens(N)
    assert law.loss(N, best) == pytest.approx(loss)
    for other in (0.8 * N, 1.25 * N):
        tokens = law.tokens_for(other, loss)
        assert tokens is not None and other * tokens > N * best, "any other size costs more FLOPs"
    assert law.tokens_for(1e6, loss) is None, "a tiny model never reaches it"
    with pytest.raises(UserError, match="which no model reaches by this law"):
        law.optimal_parameters(law.E)


def test_the_corrected_law_is_the_rule_of_twenty_and_chinchilla_itself() -> None:
    """Besiroglu et al.: their fit agrees with about 20 tokens a parameter; Chinchilla is 70 B on 1.4 T."""
    assert LAWS["besiroglu"].optimal_tokens(70e9) / 70e9 == pytest.approx(20, rel=0.25)
    assert LAWS["hoffmann"].loss(70e9, 1.4e12) == pytest.approx(1.94, abs=0.02)


def test_the_ladder_holds_the_sizes_of_conf() -> None:
    for name, shape in LADDER.items():
        path = CONF / f"{name}.yaml"
        if path.is_file():
            found = yaml.safe_load(path.read_text())
            assert (found["dim"], found["n_layers"], found["n_heads"]) == shape, name
    sizes = [parameter_count(model) for model in ladder(LIKE)]
    assert sizes == sorted(sizes) and len(sizes) == len(LADDER)


def test_the_more_is_served_the_smaller_the_cheapest() -> None:
    law, sizes = LAWS["besiroglu"], []
    loss = law.loss(13e9, 2.6e11)
    for served in (1e9, 1e12, 1e14):
        found = compare(law, ladder(LIKE), loss, served, 2048)
        best = next(c for c in found.candidates if c.name == found.cheapest)
        sizes.append(best.parameters)
        assert best.total == min(c.total for c in found.candidates)
        assert all(law.loss(c.parameters, c.tokens) == pytest.approx(loss) for c in found.candidates)
    assert sizes[0] > sizes[-1], "LLaMA, section 1"
    assert sizes == sorted(sizes, reverse=True)
    assert found.cheapest != found.cheapest_to_train and found.unreachable


def test_llama_s_own_over_training() -> None:
    table = overtraining(LAWS["hoffmann"])
    assert [round(table[size]["over_rule"], 1) for size in ("7b", "13b", "33b", "65b")] == [7.4, 3.8, 2.2, 1.1]
    assert table["7b"]["over_law"] > table["65b"]["over_law"]


def test_the_command_names_the_cheapest_in_gpu_hours_and_draws_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = ("cluster.gpu=h100", "cluster.gpus_per_node=8", "cluster.price_per_gpu_hour=2")
    picture = tmp_path / "new" / "sizes.svg"
    found = answer(capsys, "inference_tokens=1e13", "target_loss=2.0", *cluster, f"picture={picture}")
    rows = {row["name"]: row for row in found["candidates"]}
    assert found["unit"] == "GPU-hours" and found["cheapest"] in rows
    assert rows[found["cheapest"]]["total"] == min(row["total"] for row in rows.values())
    assert rows[found["cheapest_to_train"]]["training"] == min(row["training"] for row in rows.values())
    assert picture.read_text().startswith("<?xml") and len(list(picture.parent.iterdir())) == 1
    assert cli.main(["plan", "inference_tokens=1e13", f"picture={picture}"]) == 2
    assert "exists already and is not overwritten" in capsys.readouterr().err
    assert cli.main(["plan", "inference_tokens=1e13", "target_loss=1.2"]) == 2
    assert "give a higher one" in capsys.readouterr().err
    assert cli.main(["plan", "inference_tokens=1e13", "target_loss=12"]) == 2
    assert "a model that has learnt nothing has 10.37" in capsys.readouterr().err
    assert cli.main(["plan", "inference_tokens=1e13", "law=kaplan"]) == 2
    assert "neither a file nor a published law" in capsys.readouterr().err


def sweep(noise: float = 0.0) -> list[Point]:
    law, points = LAWS["besiroglu"], []
    for i, N in enumerate((1e7, 3e7, 1e8, 4e8, 1e9)):
        for j, D in enumerate((2e8, 1e9, 5e9, 2e10)):
            points.append(Point(N, D, law.loss(N, D) * (1 + noise * math.sin(7 * i + 3 * j))))
    return points


def test_a_sweep_gives_back_the_law_that_made_it() -> None:
    found = fit_law(sweep(), resamples=20)
    for name in ("E", "A", "B", "alpha", "beta"):
        assert getattr(found.law, name) == pytest.approx(getattr(LAWS["besiroglu"], name), rel=0.02), name
    assert found.error < 1e-4 and found.undetermined == []


def test_runs_too_short_to_show_an_end_are_said_to_leave_constants_open() -> None:
    """A pure power of the tokens, as of runs that have all just begun: no floor, no limit by size."""
    points = [Point(N, D, 20 * D**-0.13 * (1 + 1e-5 * (N < 2e5))) for N in (1e5, 2e5, 8e5) for D in (3e4, 6e4, 1.2e5)]
    assert "E" in fit_law(points, resamples=5).undetermined


def test_noise_widens_the_intervals_and_they_hold_the_truth() -> None:
    found = fit_law(sweep(noise=0.004), resamples=60)
    low, high = found.intervals["alpha"]
    assert low < high and low - 0.05 < LAWS["besiroglu"].alpha < high + 0.05
    assert 0.0005 < found.error < 0.006


@pytest.mark.parametrize("points", [sweep()[:5], [p for p in sweep() if p.parameters == 1e7] * 2])
def test_too_few_runs_or_one_size_are_refused(points: list[Point]) -> None:
    with pytest.raises(UserError, match="at least 6 finished runs of 3 sizes and 3 numbers of tokens"):
        fit_law(points)


def write_run(folder: Path, dim: int, tokens: float, **summary: Any) -> float:
    model = ModelConfig(dim=dim, n_layers=2, n_heads=2, vocab_size=4096)
    loss = LAWS["besiroglu"].loss(parameter_count(model), tokens)
    folder.mkdir(parents=True)
    shape = {"dim": dim, "n_layers": 2, "n_heads": 2, "vocab_size": 4096}
    data = {"path": None, "weights": {}, "sequence_length": 128, "vocab_size": 4096, "tokens": int(tokens)}
    (folder / "config.yaml").write_text(
        yaml.safe_dump({"model": shape, "data": {**data, "batch_tokens": 2048}, "recompute": "manual"})
    )
    (folder / "metrics.csv").write_text(f"step,tokens,val/loss/text\n9,{tokens},{loss}\n")
    (folder / "summary.json").write_text(json.dumps({"finished": True, "tokens": tokens, **summary}))
    return loss


def test_fit_reads_a_sweep_writes_the_law_and_plan_takes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for dim in (64, 128, 256):
        for tokens in (1e7, 1e8, 1e9):
            write_run(tmp_path / "runs" / "sizes" / f"dim={dim},tokens={tokens:g}", dim, tokens)
    law = tmp_path / "law.json"
    words = ("fit", "runs=[sizes]", f"runs_dir={tmp_path / 'runs'}", f"output={law}")
    found = answer(capsys, *words)
    assert found["law"]["alpha"] == pytest.approx(0.3478, rel=0.1) and len(found["points"]) == 9
    assert answer(capsys, f"law={law}", "inference_tokens=1e12", "target_loss=2.2")["law"]["source"] == str(law)
    over = answer(capsys, f"law={law}", "model=7b")["overtraining"]
    assert over["law"] == str(law) and over["over_law"] > 0, "a plan of one size takes the own law, too"
    larger = tmp_path / "runs" / "sizes" / "larger"
    loss = write_run(larger, 512, 3e9)
    write_run(tmp_path / "runs" / "sizes" / "stopped", 512, 1e9, finished=False)
    more = answer(capsys, *words[:-1], f"predict={larger}")
    assert more["law"] == found["law"], "neither the larger nor the unfinished run is fitted"
    (row,) = more["predicted"]
    assert row["loss"] == loss and row["predicted"] == pytest.approx(loss, rel=0.01)
    assert row["low"] <= row["predicted"] <= row["high"]
    assert more["left_out"] == ["stopped has not finished: left out"]
    for seed, away in ((1, -0.01), (2, 0.01)):  # of the weighted loss where a run says it, the seeds of a size pooled
        again = tmp_path / "runs" / "larger" / f"seed={seed}"
        write_run(again, 512, 3e9)
        (again / "metrics.csv").write_text(f"step,tokens,val/loss,val/loss/text\n9,3e9,{2.5 + away},7.0\n")
    assert cli.main(["plan", *words[:-1], "predict=larger"]) == 0
    said = capsys.readouterr().out.splitlines()
    (line,) = [line for line in said if line.startswith("larger, which the law did not see (")]
    assert "measured 2.5000 ± 0.1271 over 2 seeds: " in line
    assert sum(line.startswith("sizes/dim=") for line in said) == 9
    assert cli.main(["plan", *words[:-1], f"predict={tmp_path / 'runs' / 'sizes' / 'stopped'}"]) == 2
    assert "has not finished training" in capsys.readouterr().err
    assert cli.main(["plan", *words]) == 2
    assert "is not overwritten" in capsys.readouterr().err
    (tmp_path / "bad.json").write_text("{}")
    assert cli.main(["plan", "inference_tokens=1", f"law={tmp_path / 'bad.json'}"]) == 2
    assert "holds no law" in capsys.readouterr().err


def test_calibrate_finds_the_efficiency_that_gives_the_measured_speed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rated = {"peak_source": "rated: h100, dense bf16", "peak_flops": 989.4e12}
    write_run(tmp_path / "a", 1024, 1e9, tokens_per_second=1.0e6, **rated)
    found = answer(capsys, "calibrate", f"run={tmp_path / 'a'}")
    assert found["runs"][0]["gpu"] == "h100" and 0 < found["efficiency"] < 1
    write_run(tmp_path / "b", 1024, 1e9, tokens_per_second=1.1e6, **rated)
    assert answer(capsys, "calibrate", f"run={tmp_path / 'b'}")["efficiency"] > found["efficiency"]
    write_run(tmp_path / "c", 1024, 1e9, tokens_per_second=1e12, **rated)
    write_run(tmp_path / "d", 1024, 1e9, tokens_per_second=1e5)
    for name, message in (("c", "more than h100"), ("d", "does not say which hardware"), ("e", "no run")):
        assert cli.main(["plan", "calibrate", f"run={tmp_path / name}"]) == 2
        assert message in capsys.readouterr().err


def test_the_carbon_table_stands_above_one_s_own_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    meter = {"energy_kwh": 2.0, "co2eq_g": 770.0, "energy_source": "measured", "wall_seconds": 7200.0}
    write_run(tmp_path / "mine", 64, 1e7, **meter)
    write_run(tmp_path / "other", 64, 1e7)
    found = answer(capsys, "carbon", f"runs=[{tmp_path / 'mine'},{tmp_path / 'other'}]")
    notes = {row["model"]: row["note"] for row in found["paper"] if row["note"]}
    assert (
        set(notes) == {"BLOOM-175B", "LLaMA-65B"} and "476.5" in notes["BLOOM-175B"] and "449.8" in notes["LLaMA-65B"]
    )
    assert [round(row["co2eq_tonnes"]) for row in found["paper"]] == [137, 183, 14, 23, 90, 173]
    mine, other = found["runs"]
    assert mine["mwh"] == pytest.approx(0.002) and mine["device_hours"] == 2.0 and mine["source"] == "measured"
    assert other["mwh"] is None and "no carbon meter" in other["source"]
    for sweep in ("a", "b"):
        write_run(tmp_path / f"a-long-name-of-a-sweep-{sweep}" / "seed=1", 64, 1e7, **meter)
    words = f"runs=[a-long-name-of-a-sweep-a,a-long-name-of-a-sweep-b] runs_dir={tmp_path}".split()
    assert [row["model"] for row in answer(capsys, "carbon", *words)["runs"]] == [
        "a-long-name-of-a-sweep-a/seed=1", "a-long-name-of-a-sweep-b/seed=1",
    ]  # fmt: skip
    assert cli.main(["plan", "carbon", *words]) == 0
    said = capsys.readouterr().out.splitlines()
    assert {line.index("  measured") for line in said[7:9]} == {said[0].index("  by")}, "columns stay in line"
    (tmp_path / "mine" / "summary.json").unlink()
    assert cli.main(["plan", "carbon", f"runs=[{tmp_path / 'mine'}]"]) == 2
    assert "has not finished training" in capsys.readouterr().err


def test_fit_refuses_runs_whose_losses_are_not_of_one_law(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "runs"
    for dim in (64, 128, 256):
        for tokens in (1e7, 1e8, 1e9):
            write_run(runs / "sizes" / f"dim={dim},tokens={tokens:g}", dim, tokens)

    def refused(name: str, changed: dict[str, Any], *words: str) -> str:
        write_run(runs / name, 512, 1e9)
        config = yaml.safe_load((runs / name / "config.yaml").read_text())
        changed["model"] = config["model"] | changed.get("model", {})
        (runs / name / "config.yaml").write_text(yaml.safe_dump(config | changed))
        assert cli.main(["plan", "fit", f"runs_dir={runs}", *(words or (f"runs=[sizes,{name}]",))]) == 2
        return capsys.readouterr().err

    assert "tuned is a fine-tuning" in refused("tuned", {"tuning": {"lora": {"rank": 0}}})
    assert "differ in tokenizer" in refused("pieces", {"fingerprints": {"tokenizer": "other"}})
    assert "differ in data" in refused("text", {"fingerprints": {"data": "other"}}, "runs=[sizes]", "predict=[text]")
    assert "differ in the switches" in refused("post", {"model": {"norm_placement": "post"}})
    assert cli.main(["plan", "fit", f"runs_dir={runs}", "runs=[sizes]", "predict=[sizes]"]) == 2
    assert "leave some for the fit" in capsys.readouterr().err
