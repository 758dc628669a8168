"""Made-up run folders, as the other jobs write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SUMMARY: dict[str, Any] = {
    "finished": True, "step": 120, "tokens": 1_966_080, "train_loss": 2.3456, "tokens_per_second": 25310.4,
    "mfu": 0.412, "mfu_convention": "6N", "peak_source": "measured", "energy_kwh": 0.0053, "co2eq_g": 2.04,
    "energy_source": "rated", "wall_seconds": 312.0, "parameters": 5_310_720,
}  # fmt: skip


def domain(bits: float, unigram: float = 3.0, xz: float = 1.5) -> dict[str, float]:
    return {
        "loss": bits * 1.1, "perplexity": 8.25, "bits_per_byte": bits, "unigram_bits_per_byte": unigram,
        "xz_bits_per_byte": xz, "under_unigram_percent": 100 * (1 - bits / unigram),
        "under_xz_percent": 100 * (1 - bits / xz),
    }  # fmt: skip


def make_run(folder: Path, complete: bool = True) -> Path:
    """A run of two domains, `python_code` better than xz and `unicode` worse; without the extras if not `complete`."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("name: quickstart\nmodel: {name: 5m}\n")
    if not complete:
        return folder
    rows = ["step,tokens,train/loss,val/python_code/loss,val/unicode/loss"]
    rows += [
        f"{i},{i * 16384},{6 - i * 0.01},{'' if i % 10 else 5 - i * 0.01},{'' if i % 10 else 4}" for i in range(99)
    ]
    (folder / "metrics.csv").write_text("\n".join(rows) + "\n")
    (folder / "summary.json").write_text(json.dumps(SUMMARY))
    domains = {"python_code": domain(1.2), "unicode": domain(1.75)}
    (folder / "evaluation.json").write_text(json.dumps({"domains": domains, "weighted": domain(1.4)}))
    (folder / "sample.txt").write_text("def main(self) -> None:\n    return <self> & 'x'\n")
    return folder


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    """`quickstart` is complete, `young` has a config.yaml only."""
    make_run(tmp_path / "runs" / "quickstart")
    make_run(tmp_path / "runs" / "young", complete=False)
    return tmp_path / "runs"


@pytest.fixture
def add_run() -> Callable[[Path], Path]:
    return make_run
