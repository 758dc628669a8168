"""The meters on CUDA: no step waits for the device, its phases add up, NVML counts joules.  pytest -m gpu tests/gpu"""

from __future__ import annotations

import json

import pytest
import torch
from lightning.pytorch import Callback

from packtrain.estimate.power import gpu_meter
from tests.training.test_run import rows

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
COMMON = ("device=cuda", "precision=bf16", "model.dim=256", "model.n_heads=4")


class NoSync(Callback):
    """Has CUDA refuse every wait inside the steps between the first and the last row."""

    def on_train_batch_start(self, trainer, *_) -> None:
        if 2 <= trainer.global_step < 18:
            torch.cuda.set_sync_debug_mode("error")

    def on_train_batch_end(self, *_) -> None:
        torch.cuda.set_sync_debug_mode("default")


def test_no_step_between_two_rows_waits_for_the_device(train) -> None:
    outcome = train(*COMMON, "log_interval_tokens=5120", "+callbacks.nosync._target_=tests.gpu.test_meters.NoSync")
    assert outcome.code == 0, outcome.err
    assert [int(row["step"]) for row in rows(outcome.run_dir)] == [1, 20]


def test_the_phases_of_a_step_on_the_device_add_up(train) -> None:
    outcome = train(*COMMON, "log_interval_tokens=1280")
    for row in rows(outcome.run_dir)[1:]:
        parts = {key: float(value) for key, value in row.items() if key.startswith("throughput/seconds/")}
        assert parts["throughput/seconds/compute"] > 0 and parts["throughput/seconds/optimiser"] > 0
        own = sum(parts[f"throughput/seconds/{phase}"] for phase in ("data", "compute", "optimiser"))
        assert own <= 1.02 * float(row["throughput/step_seconds"])
    assert json.loads((outcome.run_dir / "summary.json").read_text())["memory_peak_gib"] > 0


def test_nvml_counts_the_joules_of_this_gpu() -> None:
    properties = torch.cuda.get_device_properties(0)
    meter = gpu_meter([torch.cuda.get_device_name(0)], [str(properties.uuid)])
    assert meter is not None and meter.source == "measured", meter
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    for _ in range(200):
        torch.mm(a, a)
    torch.cuda.synchronize()
    assert meter.joules() > 10
