"""a finished run's measured tokens/s → the efficiency with which the speed model gives just that

The run says its model, batch, recompute policy and hardware; the plan is made for the same, and the share of the peak
that matrix products reach is found by halving. `efficiency=…` then plans other sizes on the same machine.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from packtrain import settings
from packtrain.data.config import DataConfig
from packtrain.errors import UserError
from packtrain.estimate.hardware import Gpu, by_name
from packtrain.estimate.speed import FITTED, Setup, step_time
from packtrain.jobs.plan_runs import Finished, finished_runs

if TYPE_CHECKING:
    from packtrain.jobs.plan_job import PlanJob


def answer(job: PlanJob) -> tuple[dict[str, Any], str]:
    """One row for each run, and the mean efficiency."""
    rows = [_row(job, run) for run in finished_runs(job)]
    mean = sum(row["efficiency"] for row in rows) / len(rows)
    lines = [
        f"{row['run']}: {row['tokens_per_second_per_gpu']:,.0f} tokens/s measured, {row['predicted']:,.0f} predicted "
        f"({row['predicted'] / row['tokens_per_second_per_gpu'] - 1:+.0%}) on {row['hardware']}; efficiency "
        f"{row['efficiency']:.3f}"
        for row in rows
    ]
    lines.append(f"plan with it: packtrain plan efficiency={mean:.3f} cluster.gpu={rows[0]['gpu']} model=…")
    return {"runs": rows, "efficiency": mean}, "\n".join(lines)


def _row(job: PlanJob, run: Finished) -> dict[str, Any]:
    measured = run.number("tokens_per_second")
    if not measured:
        raise UserError(f"{run.data.path}/summary.json has no tokens_per_second: train it with callbacks.throughput")
    config = run.data.config
    devices = int(run.number("devices", "world", "world_size") or 1)
    board, hardware = _hardware(job, run)
    data = settings.build(DataConfig, config["data"], "data")
    parallel = config.get("parallel") or {}
    tensor, replicate = int(parallel.get("tensor") or 1), int(parallel.get("replicate") or 1)
    each = max(1, data.batch_tokens // data.sequence_length * tensor // devices)
    micro = data.micro_batch or max(n for n in range(1, min(16, each) + 1) if each % n == 0)
    setup = Setup(
        board, devices, data.sequence_length, micro, max(1, each // micro),
        recompute=str(config.get("recompute", "manual")), fused=bool(config.get("compile", False)),
        kernel=job.attention, tensor=tensor, replicate=replicate,
    )  # fmt: skip

    def rate(efficiency: float) -> float:
        share = replace(FITTED, ampere=efficiency, hopper=efficiency, cpu=efficiency)
        return step_time(run.model, setup, share).tokens_per_second

    speed = measured / devices
    predicted = step_time(run.model, setup).tokens_per_second
    if rate(1.0) < speed:
        raise UserError(
            f"{run.data.name}: {speed:,.0f} tokens/s are more than {hardware} can do by its peak "
            f"({rate(1.0):,.0f}): is cluster.gpu the hardware it ran on?"
        )
    low, high = 1e-4, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rate(middle) < speed else (low, middle)
    return {
        "run": run.data.name, "gpu": board.name, "hardware": hardware, "devices": devices,
        "tokens_per_second_per_gpu": speed, "predicted": predicted, "efficiency": high,
    }  # fmt: skip


def _hardware(job: PlanJob, run: Finished) -> tuple[Gpu, str]:
    """The board the run says it ran on (`peak_source`), or `cluster.gpu`; a CPU with the peak that the run measured."""
    source, peak = str(run.summary.get("peak_source") or ""), run.number("peak_flops")
    rated = re.match(r"rated: ([\w-]+)", source)
    name = rated[1] if rated else job.cluster.gpu
    if source.startswith("measured") and "CPU" in source and peak and name in (None, "cpu"):
        from packtrain.estimate.cpu import measured_cpu

        here = measured_cpu()
        return replace(here, peak_flops=peak, source=source), f"a CPU of {peak / 1e9:,.0f} GFLOP/s as the run measured"
    if name is None or name == "cpu":
        raise UserError(f"{run.data.path} does not say which hardware it ran on: give cluster.gpu=…")
    board = by_name(name)
    return board, f"{board.name} ({board.peak_flops / 1e12:g} TFLOP/s)"
