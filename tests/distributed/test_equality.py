"""Every mesh of real processes gives one process's losses and gradient norms to 1e-5, in every recompute policy"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.distributed.launch import torchrun

WORKER = Path(__file__).with_name("equality_worker.py")


@pytest.mark.parametrize(
    ("processes", "how"),
    [
        (4, "eager"),  # 2 × 2 of either kind
        pytest.param(2, "eager", marks=pytest.mark.slow),
        pytest.param(2, "compiled", marks=pytest.mark.slow),
        pytest.param(4, "compiled", marks=pytest.mark.slow),
    ],
)
def test_meshes_equal_one_process(processes: int, how: str) -> None:
    ended = torchrun(processes, WORKER, how)
    assert ended.code == 0, ended.output
    meshes, policies = {2: 2, 4: 4}[processes], {"eager": 4, "compiled": 3}[how]
    assert ended.output.count("equal ") == meshes * (policies + 1)  # and one with a document mask
    assert ended.output.count("another architecture") == {2: 1, 4: 2}[processes] * (how == "eager")
