"""finished runs of several sizes and lengths → (parameters, tokens, held-out loss) → the constants of L(N, D)"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packtrain.errors import UserError
from packtrain.estimate.sweep_fit import Point, SweepFit, fit_law
from packtrain.jobs.plan_runs import Finished, finished_members
from packtrain.model.config import parameter_count
from packtrain.report.spread import Spread

if TYPE_CHECKING:
    from packtrain.jobs.plan_job import PlanJob


def answer(job: PlanJob) -> tuple[dict[str, Any], str]:
    """The fit; written to `output` where one is given."""
    target = Path(job.output) if job.output else None
    if target and target.exists():
        raise UserError(f"output={target} exists already and is not overwritten; give another name or delete it")
    if job.runs is None:
        raise UserError("packtrain plan fit needs runs=[A,B,…]: folders that packtrain train wrote, or a sweep's")
    held_out, never = finished_members(job.predict or [], job.runs_dir)
    unseen = {run.data.path for run in held_out}
    runs, left_out = finished_members(job.runs, job.runs_dir)
    runs = [run for run in runs if run.data.path not in unseen]
    if held_out and not runs:
        raise UserError(
            "predict= names all the runs of runs=: leave some for the fit, which does not see those foretold"
        )
    _alike([*runs, *held_out])
    points = [point(run) for run in runs]
    found = fit_law(points)
    law = found.law
    result = {
        "law": asdict(law),
        "intervals_90_percent": found.intervals,
        "relative_error": found.error,
        "undetermined": found.undetermined,
        "points": [
            {"run": run.name, **asdict(p), "fitted": law.loss(p.parameters, p.tokens)}
            for run, p in zip(runs, points, strict=True)
        ],
        "predicted": _predicted(found, held_out),
        "left_out": [*left_out, *never],
    }
    width = max(len(row["run"]) for row in result["points"])
    lines = [f"{'run':{width}} {'parameters':>13} {'tokens':>13} {'loss':>8} {'fitted':>8}"]
    for row in result["points"]:
        lines.append(
            f"{row['run']:{width}} {row['parameters']:>13,.0f} {row['tokens']:>13,.0f} "
            f"{row['loss']:>8.4f} {row['fitted']:>8.4f}"
        )
    lines += ["", f"L(N, D) = {law.E:.4f} + {law.A:.4g} / N^{law.alpha:.4f} + {law.B:.4g} / D^{law.beta:.4f}"]
    lines += [
        f"{name:>6}  90 % of the resamples: {low:.4g} to {high:.4g}" for name, (low, high) in found.intervals.items()
    ]
    lines.append(f"typical error {found.error:.2%} of the loss")
    if found.undetermined:
        lines.append(
            f"these runs do not determine {', '.join(found.undetermined)}, which ended where the search ends: trust "
            "the law between them alone; longer runs and larger models would tell more"
        )
    lines += [_told(row) for row in result["predicted"]] + result["left_out"]
    if target:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(target.name + ".tmp")
        temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        temporary.replace(target)
        lines.append(f"written to {target}: packtrain plan law={target} inference_tokens=…")
    return result, "\n".join(lines)


def _alike(runs: Sequence[Finished]) -> None:
    """`UserError` where the losses of two runs are not of one law: other text, tokens or architecture."""
    for run in runs:
        if run.data.config.get("tuning"):
            raise UserError(f"{run.name} is a fine-tuning, whose loss is of responses alone: leave it out")
        for what, one, other in zip(_KIND, _kind(runs[0]), _kind(run), strict=True):
            if one != other:
                raise UserError(
                    f"{run.name} and {runs[0].name} differ in {what}, so one law does not hold for both: leave one out"
                )


_KIND = ("tokenizer", "data", "the switches of the architecture")


def _kind(run: Finished) -> tuple[Any, ...]:
    prints = run.data.config.get("fingerprints") or {}
    return prints.get("tokenizer"), prints.get("data"), run.model.unlike_llama


def _predicted(found: SweepFit, runs: Sequence[Finished]) -> list[dict[str, Any]]:
    """What the law says of runs that it did not see, the seeds of one size and length pooled, and by how much of the
    loss that is off.
    """
    groups: dict[tuple[float, float], list[tuple[Finished, float]]] = {}
    for run in runs:
        at = point(run)
        groups.setdefault((at.parameters, at.tokens), []).append((run, at.loss))
    rows = []
    for (parameters, tokens), members in groups.items():
        measured = Spread.of([loss for _, loss in members])
        assert measured is not None
        loss, low, high = found.predict(parameters, tokens)
        names = [run.name for run, _ in members]
        parents = {name.rpartition("/")[0] for name in names}
        name = names[0] if len(names) == 1 else " ".join(sorted(parents - {""})) or names[0]
        rows.append(
            {"run": name, **asdict(Point(parameters, tokens, measured.mean)), "half": measured.half,
             "seeds": measured.n, "predicted": loss, "low": low, "high": high, "off": loss / measured.mean - 1}
        )  # fmt: skip
    return rows


def _told(row: dict[str, Any]) -> str:
    measured = Spread(row["loss"], row["half"], row["seeds"])
    over = f" over {row['seeds']} seeds" if row["seeds"] > 1 else ""
    return (
        f"{row['run']}, which the law did not see ({row['parameters']:,.0f} parameters, {row['tokens']:,.0f} tokens): "
        f"predicted {row['predicted']:.4f} ({row['low']:.4f} to {row['high']:.4f}), measured {measured}{over}: "
        f"{row['off']:+.1%}"
    )


def point(run: Finished) -> Point:
    """The last held-out loss, by the mixture's weights as the report has it; where that was not said the mean over the
    domains, without any the mean of the last training losses.
    """
    tokens = run.number("tokens")
    if not tokens:
        raise UserError(f"{run.data.path}/summary.json does not say how many tokens it trained on: leave it out")
    weighted = [loss for _, loss in run.data.curve("val/loss")[-1:]]
    held_out = [curve[-1][1] for curve in run.data.held_out_curves().values() if curve]
    last = [loss for _, loss in run.data.curve("train/loss")[-20:]]
    losses = weighted or held_out or last
    if not losses:
        raise UserError(f"{run.data.path} has no losses in metrics.csv: leave it out")
    return Point(parameter_count(run.model), tokens, sum(losses) / len(losses))
