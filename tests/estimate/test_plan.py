"""packtrain plan: the paper's cluster gives the paper's days and tonnes; what is unknown stays null"""

import json
from typing import Any

import pytest

from packtrain import cli


def plan(capsys: pytest.CaptureFixture[str], *overrides: str) -> dict[str, Any]:
    assert cli.main(["plan", "format=json", *overrides]) == 0
    return json.loads(capsys.readouterr().out)


def test_65b_on_the_paper_s_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    found = plan(capsys, "model=65b", "cluster=llama_paper")
    assert found["parameters"] == 65_285_660_672
    assert found["tokens_per_second_per_gpu"] == pytest.approx(380, abs=1)
    assert found["days"] == pytest.approx(20.8, abs=0.1), "the paper: about 21 days"
    assert found["gpu_hours"] == pytest.approx(1_022_362, rel=0.002)
    assert found["energy_mwh"] == pytest.approx(449, rel=0.005)
    assert found["co2eq_tonnes"] == pytest.approx(173, rel=0.005)
    assert found["gpus"] == 2048 and found["fits"] is True
    assert "49.5%" in found["assumption"] and "paper" in found["assumption"]


@pytest.mark.parametrize(("size", "gpu_hours"), [("7b", 82_432), ("13b", 135_168), ("33b", 530_432)])
def test_the_other_sizes_come_within_a_tenth_of_the_paper_s_hours(
    size: str, gpu_hours: int, capsys: pytest.CaptureFixture[str]
) -> None:
    found = plan(capsys, f"model={size}", "cluster=llama_paper")
    assert found["gpu_hours"] == pytest.approx(gpu_hours, rel=0.1), "one utilisation for all sizes is an assumption"


def test_without_a_named_gpu_time_energy_and_fit_are_null_with_one_reason(capsys: pytest.CaptureFixture[str]) -> None:
    found = plan(capsys)
    for key in ("tokens_per_second_per_gpu", "days", "gpu_hours", "energy_mwh", "co2eq_tonnes", "fits"):
        assert found[key] is None, key
    assert "cluster.gpu=" in found["unknown"]
    assert found["parameters"] == 6_738_415_616 and found["memory_gib"] > 100


def test_a_named_gpu_a_given_utilisation_and_power(capsys: pytest.CaptureFixture[str]) -> None:
    found = plan(capsys, "cluster.gpu=h200", "mfu=0.4", "cluster.power_watts=500", "cluster.pue=1.2")
    assert found["fits"] is True and found["power_watts"] == 500
    assert found["energy_mwh"] == pytest.approx(found["gpu_hours"] * 500 * 1.2 / 1e6)
    assert found["assumption"].startswith("40.0% of 989.4 TFLOP/s") and "as given" in found["assumption"]
    assert plan(capsys, "cluster.gpu=h100")["fits"] is False, "the 7B's states alone are 101 GiB"
    assert plan(capsys, "cluster.gpu=h200", "precision=fp32")["days"] is None


def test_the_table_shows_what_the_json_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "model=65b", "cluster=llama_paper"]) == 0
    text = capsys.readouterr().out
    for part in ("65,285,660,672", "20.81 days", "tCO2eq", "6N+attention", "2,048 x a100-80gb: fits"):
        assert part in text
