"""runs → the pictures of a report, by name: loss, domains, flops, learning_rate, throughput, tasks, time,
energy

One run: its training loss and the held-out loss of each domain in one picture. Several: a colour for each run, a panel
for each domain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from packtrain.report.figures import Curve, chart, shares, smooth
from packtrain.report.reading import RunData

TASK = re.compile(r"tasks/[^/]+/[^/]+")  # the loggers' own columns against tokens have another name
SECONDS = "throughput/seconds/"  # of a step, by part: data, compute, optimiser, …


@dataclass(frozen=True)
class Picture:
    """`name`.png, the words below it, and the matplotlib Figure."""

    name: str
    title: str
    figure: Any


def pictures(runs: Sequence[RunData], names: Sequence[str]) -> list[Picture]:
    """Those that the runs have figures for; `names`: what they are called. Raises `UserError` without matplotlib."""
    return [picture for picture in _all(runs, names) if picture.figure is not None]


def _all(runs: Sequence[RunData], names: Sequence[str]) -> Iterator[Picture]:
    def curves(column: str) -> dict[str, Curve]:
        return {name: run.curve(column) for name, run in zip(names, runs, strict=True)}

    losses = curves("train/loss")
    yield (
        loss_picture(runs[0])
        if len(runs) == 1
        else Picture(
            "loss",
            "Training loss against tokens",
            chart({"": {name: smooth(curve) for name, curve in losses.items()}}, raw=losses),
        )
    )
    if len(runs) > 1:
        domains = dict.fromkeys(domain for run in runs for domain in run.held_out_curves())
        held_out = {d: {n: r.held_out_curves().get(d, []) for n, r in zip(names, runs, strict=True)} for d in domains}
        yield Picture("domains", "Held-out loss against tokens, domain by domain", chart(held_out))
        flops = {n: _against_flops(run, losses[n]) for n, run in zip(names, runs, strict=True)}
        words = "training FLOPs (6 × parameters × tokens)"
        yield Picture("flops", "Training loss against FLOPs", chart({"": flops}, words, log_x=True))
    for name, title, column, unit in (
        ("learning_rate", "Learning rate", "train/lr", "learning rate"),
        ("throughput", "Throughput", "throughput/tokens_per_second", "tokens per second"),
        ("energy", "Energy so far, with PUE", "carbon/energy_kwh", "kWh"),
    ):
        found = curves(column)
        raw = found if name == "throughput" else None
        drawn = {n: smooth(c, 0.05) for n, c in found.items()} if raw else found
        yield Picture(name, title, chart({"": drawn}, y_label=unit, raw=raw, from_zero=True))
    asked = dict.fromkeys(c for run in runs for row in run.metrics for c in row if TASK.fullmatch(c))
    scores = {c.removeprefix("tasks/"): curves(c) for c in asked}
    yield Picture("tasks", "Scores of tasks against tokens", chart(scores, y_label="share"))
    parts = {name: time_parts(run) for name, run in zip(names, runs, strict=True)}
    yield Picture("time", "Where the time went", shares(parts))


def loss_picture(run: RunData) -> Picture:
    """Of one run: training, the steps themselves behind their running mean, and the held-out text of each domain."""
    raw = run.curve("train/loss")
    curves = {"training": smooth(raw), **{f"held out: {k}": v for k, v in run.held_out_curves().items()}}
    return Picture("loss", "Loss against tokens", chart({"": curves}, raw={"training": raw}))


def time_parts(run: RunData) -> dict[str, float]:
    """part → seconds, over the rows that are there: each row's seconds a step, times its steps."""
    found: dict[str, float] = {}
    before = 0.0
    for row in run.metrics:
        steps, before = row.get("step", before) - before, row.get("step", before)
        for column, seconds in row.items():
            if column.startswith(SECONDS):
                part = column.removeprefix(SECONDS)
                found[part] = found.get(part, 0.0) + seconds * steps
    return {part: seconds for part, seconds in found.items() if seconds > 0}


def _against_flops(run: RunData, curve: Curve) -> Curve:
    parameters = run.parameters
    return [(6.0 * parameters * tokens, loss) for tokens, loss in smooth(curve)] if parameters else []
