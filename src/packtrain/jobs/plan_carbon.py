"""the paper's carbon table beside one's own runs; the speed model beside what others published"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packtrain.estimate import carbon_table
from packtrain.estimate.calibration import leave_one_out, predict
from packtrain.estimate.published import PAPER_HOURS, paper_run
from packtrain.jobs.plan_runs import finished_runs

if TYPE_CHECKING:
    from packtrain.jobs.plan_job import PlanJob

WHY = {
    "7B": "close",
    "13B": "its hours imply 54 % MFU, above 7B and 33B: likely fewer GPUs with more of the batch each, as below",
    "33B": "close",
    "65B": "close; one sequence a GPU, so a quarter of the step waits for the network",
}


def carbon(job: PlanJob) -> tuple[dict[str, Any], str]:
    """Table 15 recomputed by its formula, and the energy that the runs' meters saw."""
    runs = finished_runs(job) if job.run or job.runs else []
    width = max(24, *(len(run.name) for run in runs)) if runs else 24
    lines = [f"{'model':{width}} {'GPU-hours':>12} {'MWh':>12} {'tCO2eq':>12}  by"]
    paper = []
    for row in carbon_table.PAPER:
        lines.append(
            f"{row.model:{width}} {row.gpu_hours:>12,.0f} {row.mwh:>12.1f} {row.tonnes:>12.1f}  "
            "400 W, PUE 1.1, 0.385 kg/kWh" + (f"; {row.note}" if row.note else "")
        )
        paper.append(
            {
                "model": row.model, "gpu_hours": row.gpu_hours, "mwh": row.mwh, "co2eq_tonnes": row.tonnes,
                "printed_mwh": row.printed_mwh, "printed_co2eq_tonnes": row.printed_tonnes, "note": row.note,
            }
        )  # fmt: skip
    own = []
    for run in runs:
        kwh, grams = run.number("energy_kwh"), run.number("co2eq_g")
        seconds = run.number("wall_seconds", "training_seconds")
        devices = run.number("devices", "world", "world_size") or 1
        hours = run.number("device_hours")  # work that a kill undid included
        if hours is None and seconds is not None:
            hours = seconds / 3600 * devices
        source = str(run.summary.get("energy_source") or "no carbon meter in this run")
        own.append(
            {"model": run.name, "device_hours": hours, "mwh": None if kwh is None else kwh / 1e3,
             "co2eq_tonnes": None if grams is None else grams / 1e6, "source": source}
        )  # fmt: skip
        cells = [f"{v:>12.4g}" if v is not None else f"{'?':>12}" for v in list(own[-1].values())[1:4]]
        detail = run.summary.get("energy_detail")
        lines.append(f"{run.name:{width}} {' '.join(cells)}  {source}" + (f": {detail}" if detail else ""))
    total = {key: _sum([row[key] for row in own]) for key in ("device_hours", "mwh", "co2eq_tonnes")}
    if len(own) > 1:
        cells = [f"{v:>12.4g}" if v is not None else f"{'?':>12}" for v in total.values()]
        lines.append(f"{f'all {len(own)} runs':{width}} {' '.join(cells)}")
    return {"paper": paper, "runs": own, "runs_total": total}, "\n".join(lines)


def _sum(values: list[float | None]) -> float | None:
    """None where one is not known, and for none."""
    return None if not values or None in values else sum(v for v in values if v is not None)


def published() -> tuple[dict[str, Any], str]:
    """Every published row beside its prediction: LLaMA's own, then the others, each with itself left out of the fit."""
    lines = ["LLaMA's GPU-hours (never fitted)", f"{'':22} {'published':>12} {'predicted':>12} {'off':>7}"]
    paper, rows = [], []
    for size in PAPER_HOURS:
        tokens, hours = PAPER_HOURS[size]
        own = tokens / predict(paper_run(size)) / 3600
        paper.append({"model": size, "gpu_hours": hours, "predicted": own, "error": own / hours - 1, "why": WHY[size]})
        lines.append(f"LLaMA-{size:16} {hours:>12,} {own:>12,.0f} {own / hours - 1:>+7.1%}  {WHY[size]}")
    half = PAPER_HOURS["13B"][0] / predict(paper_run("13B", 1024)) / 3600
    lines.append(f"{'LLaMA-13B, 1 024 GPUs':22} {135_168:>12,} {half:>12,.0f} {half / 135_168 - 1:>+7.1%}")
    speed = predict(paper_run("65B"))
    lines.append(f"{'LLaMA-65B, tokens/s':22} {380:>12,} {speed:>12,.0f} {speed / 380 - 1:>+7.1%}")
    lines += ["", f"{'tokens/s/GPU':44} {'published':>10} {'predicted':>10} {'off':>7}  source"]
    for found in leave_one_out():
        run = found.run
        rows.append(
            {"name": run.name, "source": run.source, "tokens_per_second_per_gpu": run.tokens_per_second,
             "predicted": found.predicted, "error": found.error}
        )  # fmt: skip
        speeds = f"{run.tokens_per_second:>10,.0f} {found.predicted:>10,.0f}"
        lines.append(f"{run.name:44} {speeds} {found.error:>+7.1%}  {run.source}")
    errors = sorted(abs(row["error"]) for row in rows)
    median, largest = errors[len(errors) // 2], errors[-1]
    lines.append(f"median {median:.1%}, largest {largest:.1%}, each row left out of its own fit")
    return {"paper": paper, "rows": rows, "median_error": median, "largest_error": largest}, "\n".join(lines)
