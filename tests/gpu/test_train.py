"""A run on CUDA: trains in bf16, measures its energy, resumes bitwise.  pytest -m gpu tests/gpu"""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from tests.callbacks.test_carbon import weakest
from tests.training.test_run import STOP, rows

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


def test_a_stopped_run_on_cuda_ends_bitwise_as_an_uninterrupted_one(train) -> None:
    common = ("device=cuda", "precision=bf16", "model.dim=128", "model.n_heads=2")
    assert train(STOP % 12, *common).code == 130
    again, whole = train(*common), train(*common, name="whole")
    assert again.code == 0 and "continues after step 13" in again.out
    ours, theirs = (load_file(o.run_dir / "checkpoints/step-00000020/model.safetensors") for o in (again, whole))
    for name, tensor in theirs.items():
        assert torch.equal(ours[name], tensor), name
    assert [r["train/loss"] for r in rows(again.run_dir)] == [r["train/loss"] for r in rows(whole.run_dir)]
    summary = json.loads((whole.run_dir / "summary.json").read_text())
    sources = {part: found["source"] for part, found in summary["energy_parts"].items()}
    assert sources.keys() == {"gpu", "cpu"} and sources["gpu"] in ("measured", "rated")  # NVML's counter, or the table
    assert summary["energy_source"] == weakest(sources.values())
