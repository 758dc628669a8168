"""Energy says of itself whether it was measured, rated or guessed"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from packtrain.estimate.power import GUESSED_WATTS_PER_THREAD, SteadyMeter, cpu_meter, gpu_meter, open_meter, rapl_zones


def zone(root: Path, name: str, label: str, microjoules: int, wrap: int = 1_000_000) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{label}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{wrap}\n")
    return folder


def test_rapl_counts_packages_once_and_survives_the_counter_s_wrap(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 900_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 5)
    zone(tmp_path, "intel-rapl:1", "psys", 5)
    assert rapl_zones(tmp_path) == [package]
    meter = cpu_meter(root=tmp_path)
    assert meter.source == "measured" and meter.joules() == 0
    (package / "energy_uj").write_text("950000")
    assert meter.joules() == pytest.approx(0.05)
    (package / "energy_uj").write_text("10000")
    assert meter.joules() == pytest.approx(0.05 + 0.060001)


def test_a_counter_that_may_not_be_read_is_no_counter(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 1)
    (package / "energy_uj").unlink()
    (package / "energy_uj").mkdir()
    assert cpu_meter(threads=4, root=tmp_path).source == "guessed"


def test_without_a_sensor_the_watts_are_rated_or_guessed_and_say_so(tmp_path: Path) -> None:
    rated = cpu_meter(rated_watts=65, root=tmp_path)
    assert rated.source == "rated" and "65 W" in rated.detail
    guessed = cpu_meter(threads=8, root=tmp_path)
    assert isinstance(guessed, SteadyMeter) and guessed.watts == 8 * GUESSED_WATTS_PER_THREAD
    assert guessed.source == "guessed" and "no sensor" in guessed.detail


def test_steady_watts_times_time() -> None:
    now = [10.0]
    meter = SteadyMeter(50.0, "rated", "", clock=lambda: now[0])
    now[0] = 14.0
    assert meter.joules() == 200.0


def fake_nvml(millijoules: dict[str, int]) -> Any:
    return SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda i: list(millijoules)[i],
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: millijoules[handle],
    )


def test_nvml_measures_the_gpus_it_is_asked_for() -> None:
    counters = {"GPU-a": 5_000, "GPU-b": 7_000}
    both = gpu_meter(["NVIDIA H200"] * 2, nvml=fake_nvml(counters))
    second = gpu_meter(["NVIDIA H200"], ["b"], nvml=fake_nvml(counters))
    assert both is not None and second is not None and both.source == "measured"
    counters.update({"GPU-a": 6_000, "GPU-b": 10_000})
    assert (both.joules(), second.joules()) == (4.0, 3.0)


def test_a_gpu_without_nvml_is_rated_and_an_unknown_one_is_nothing() -> None:
    broken = SimpleNamespace(nvmlInit=lambda: 1 / 0)
    rated = gpu_meter(["NVIDIA H200"] * 2, nvml=broken)
    assert isinstance(rated, SteadyMeter) and rated.source == "rated" and rated.watts == 1400
    assert gpu_meter(["Some GPU"], nvml=broken) is None
    assert gpu_meter(["NVIDIA H200", "Some GPU"], nvml=broken) is None


def test_there_is_always_a_meter() -> None:
    assert open_meter().source in ("measured", "rated", "guessed")
    assert open_meter().joules() >= 0
