"""Energy of a run: every part with its word, nothing lost to a kill, a projection, a sum over a sweep"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from packtrain.callbacks.carbon import Carbon
from packtrain.cli import main
from packtrain.errors import UserError
from packtrain.estimate.energy import facility_kwh
from packtrain.estimate.power import NvmlMeter, open_parts
from packtrain.parallel.processes import World
from tests.estimate.test_power import fake_nvml, zone
from tests.training.test_run import STOP, rows


def weakest(sources: Iterable[str]) -> str:
    return max(sources, key=("measured", "rated", "guessed").index)


class Ranks(World):
    """Two ranks on one node, of which this one sees both: what each told is summed."""

    def gather(self, value):
        return [value, {"gpu": 100.0} if isinstance(value, dict) else []]


def on_gpu(carbon: Carbon, run_dir: Path, monkeypatch: pytest.MonkeyPatch, world: World | None = None, step: int = 0):
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="a"), raising=True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    module = SimpleNamespace(
        device=torch.device("cuda", 0), run_dir=str(run_dir), parallel=SimpleNamespace(world=world or World()),
        steps=SimpleNamespace(batch_tokens=1000, total=10),
    )  # fmt: skip
    carbon.on_train_start(SimpleNamespace(global_step=step), module)  # pyright: ignore
    return module


def test_counters_of_gpus_and_cpus_are_summed_with_a_projection(tmp_path: Path, monkeypatch) -> None:
    counters = {"GPU-a": 5_000}
    package = zone(tmp_path / "rapl", "intel-rapl:0", "package-0", 0, wrap=10**12)
    carbon = Carbon(pue=1.5, kg_co2_per_kwh=0.2, nvml=fake_nvml(counters), powercap=str(tmp_path / "rapl"))
    module = on_gpu(carbon, tmp_path, monkeypatch)
    counters["GPU-a"] += 3_000_000  # 3 kJ
    (package / "energy_uj").write_text(str(600_000_000))  # 600 J
    row = carbon.measure(2, None, module)  # pyright: ignore
    assert row["carbon/energy_kwh"] == pytest.approx(3600 / 3.6e6 * 1.5)
    assert row["carbon/co2eq_g"] == pytest.approx(1.5e-3 * 200)
    assert row["carbon/joules_per_token"] == pytest.approx(1.8) and row["carbon/tokens_per_joule"] == pytest.approx(
        1 / 1.8
    )
    assert row["carbon/projected_kwh"] == pytest.approx(5 * row["carbon/energy_kwh"])  # two steps of ten are done
    assert row["carbon/projected_co2eq_g"] == pytest.approx(5 * row["carbon/co2eq_g"]) and row["carbon/power_watts"] > 0
    summary = carbon.summarise(module)
    assert summary["energy_source"] == "measured" and summary["energy_parts"]["cpu"]["source"] == "measured"
    assert (
        summary["energy_detail"].startswith("GPU 83% (measured): NVML")
        and "CPU 17% (measured): RAPL" in (summary["energy_detail"])
    )


def test_ranks_are_summed_and_what_a_kill_undid_is_kept(tmp_path: Path, monkeypatch) -> None:
    counters = {"GPU-a": 0}
    first = Carbon(nvml=fake_nvml(counters), powercap=str(tmp_path / "none"))
    module = on_gpu(first, tmp_path, monkeypatch, Ranks())
    assert first.sources == {"gpu": "measured", "cpu": "guessed"}  # no sensor of the CPU here
    saved = first.state_dict()
    counters["GPU-a"] = 1_000_000
    first.measure(5, None, module)  # pyright: ignore
    # killed here: the checkpoint does not know of the last 1 000 J, the run's folder does
    again = Carbon(nvml=fake_nvml(counters), powercap=str(tmp_path / "none"))
    again.load_state_dict(saved)
    module = on_gpu(again, tmp_path, monkeypatch, step=0)
    assert again.joules()["gpu"] == pytest.approx(1000 + 100)
    counters["GPU-a"] += 500_000
    assert again.joules()["gpu"] == pytest.approx(1600)
    summary = again.summarise(module)
    assert summary["energy_source"] == "guessed" == weakest({"gpu": "measured", "cpu": "guessed"}.values())
    assert {part: found["source"] for part, found in summary["energy_parts"].items()} == {
        "gpu": "measured", "cpu": "guessed"
    }  # fmt: skip
    row = again.measure(1, None, module)  # pyright: ignore
    assert row["carbon/projected_kwh"] - row["carbon/energy_kwh"] == pytest.approx(facility_kwh(500 * 9), rel=0.01)


def test_a_checkpoint_of_an_older_version_is_read(tmp_path: Path, monkeypatch) -> None:
    carbon = Carbon(nvml=fake_nvml({"GPU-a": 0}), powercap=str(tmp_path))
    carbon.load_state_dict({"joules": 40.0, "source": "rated", "detail": "700 W, the rated power of 1 GPU(s)"})
    on_gpu(carbon, tmp_path, monkeypatch)
    assert carbon.joules()["gpu"] == 40.0 and carbon.sources["gpu"] == "rated"  # the weaker word stays


def test_a_gpu_of_unknown_power_is_said_not_to_be_counted(tmp_path: Path) -> None:
    broken = SimpleNamespace(nvmlInit=lambda: 1 / 0)
    parts = open_parts(["Some GPU"], nvml=broken, root=tmp_path)
    assert parts["gpu"].joules() == 0 and "GPU not counted" in parts["gpu"].detail
    assert "cluster.power_watts" in parts["gpu"].detail and parts["gpu"].source == "guessed"


def test_a_counter_that_fails_for_a_while_loses_nothing_and_ends_no_run() -> None:
    counters = {"GPU-a": 1_000}
    library = fake_nvml(counters)
    meter = NvmlMeter(library, ["GPU-a"])
    working = library.nvmlDeviceGetTotalEnergyConsumption
    library.nvmlDeviceGetTotalEnergyConsumption = lambda handle: 1 / 0
    assert meter.joules() == 0
    library.nvmlDeviceGetTotalEnergyConsumption = working
    counters["GPU-a"] = 3_000
    assert meter.joules() == 2.0


def test_a_run_that_was_stopped_and_one_killed_keep_their_energy_and_the_sweep_is_summed(
    train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    watts = "cluster.power_watts=100"
    stopped = train(STOP % 12, watts)
    totals = json.loads((stopped.run_dir / "totals.json").read_text())
    at_checkpoint = torch.load(stopped.run_dir / "checkpoints/step-00000010/state.pt", weights_only=True)["callbacks"]
    saved = next(value for key, value in at_checkpoint.items() if "Carbon" in key)
    assert totals["joules_cpu"] > saved["joules"]["cpu"] > 0
    (stopped.run_dir / "checkpoints/step-00000013/checkpoint.json").unlink()
    assert "continues after step 10" in train(watts).out
    table = [float(row["carbon/energy_kwh"]) for row in rows(stopped.run_dir)]
    assert table == sorted(table) and table[10] > facility_kwh(totals["joules_cpu"])
    summary = json.loads((stopped.run_dir / "summary.json").read_text())
    assert summary["energy_source"] == "rated" and summary["joules_per_token"] == summary["joules"] / 5120
    assert float(rows(stopped.run_dir)[-1]["carbon/projected_kwh"]) == table[-1]
    assert train(watts, name="second").code == 0
    other = json.loads((tmp_path / "runs/second/summary.json").read_text())
    capsys.readouterr()
    assert main(["runs", f"runs_dir={tmp_path / 'runs'}"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.split()[:3] == ["all", "2", "runs"] and f"{summary['energy_kwh'] + other['energy_kwh']:.3g}" in last
    assert main(["plan", "carbon", "runs=[r,second]", f"runs_dir={tmp_path / 'runs'}", "format=json"]) == 0
    total = json.loads(capsys.readouterr().out)["runs_total"]
    assert total["mwh"] == pytest.approx((summary["energy_kwh"] + other["energy_kwh"]) / 1000)
    assert total["device_hours"] == pytest.approx(summary["device_hours"] + other["device_hours"])


def test_what_makes_no_sense_is_refused(train) -> None:
    for override, said in (
        ("callbacks.carbon.pue=0.9", "pue=0.9: a facility uses at least what its computers use; give 1 or more"),
        ("callbacks.carbon.power_watts=0", "kg_co2_per_kwh and power_watts must be positive"),
        ("cluster.pue=0.5", "cluster.pue=0.5: expected at least 1"),
        ("cluster.price_per_gpu_hour=0", "cluster.price_per_gpu_hour=0.0: expected a positive number, or null"),
        ("callbacks.carbon.region=XYZ", "is not in codecarbon's table"),
    ):
        outcome = train(override)
        assert outcome.code == 2 and said in outcome.err and outcome.err.count("\n") == 1, outcome.err
        assert not outcome.run_dir.exists()
    with pytest.raises(UserError):
        Carbon(pue=float("nan"))


def test_a_region_changes_the_grams_and_not_the_energy() -> None:
    pytest.importorskip("codecarbon", reason="pip install 'packtrain[carbon]'")
    assert Carbon(region="FRA").kg_co2_per_kwh < 0.15 < Carbon(region="POL").kg_co2_per_kwh
