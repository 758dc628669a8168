"""curves of one run or several → matplotlib → PNG for the folder and the README, SVG for the page

matplotlib is the extra `report`; it is imported when a figure is drawn, so that the rest of the report does without.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from packtrain.errors import UserError
from packtrain.report.reading import RunData

COLOURS = ("#2f7ed8", "#e07b39", "#3a9d6a", "#9b59b6", "#c0504d", "#8a8d00", "#17a2b8")
INK = "#777788"  # readable on white and on black alike; in the SVG it becomes the page's own text colour
Curve = Sequence[tuple[float, float]]


def loss_figure(runs: Sequence[RunData]) -> Any:
    """Loss against tokens. One run: its training loss and each domain's held-out loss; several: a colour for each run.

    Raises `UserError` where matplotlib is missing; returns None where no run has a curve yet.
    """
    curves = one_run(runs[0]) if len(runs) == 1 else several(runs)
    if not any(len(points) > 1 for points in curves.values()):
        return None
    return draw(curves)


def one_run(run: RunData) -> dict[str, Curve]:
    return {"train": run.curve("train/loss"), **{f"held out: {k}": v for k, v in run.held_out_curves().items()}}


def several(runs: Sequence[RunData]) -> dict[str, Curve]:
    return {run.name: smooth(run.curve("train/loss")) for run in runs}


def draw(curves: Mapping[str, Curve]) -> Any:
    """A matplotlib Figure, 7.5 × 4.2 inches; the curve `train` is thin and grey behind its own running mean."""
    try:
        from matplotlib.figure import Figure  # Figure alone draws with Agg: no display, no global state
    except ImportError:
        raise UserError("figures need matplotlib: pip install 'packtrain[report]'") from None
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    scale, unit = scale_of(max((x for points in curves.values() for x, _ in points), default=0.0))
    colours = iter(COLOURS * (1 + len(curves) // len(COLOURS)))
    for label, points in curves.items():
        if not points:
            continue
        x, y = [tokens / scale for tokens, _ in points], [value for _, value in points]
        if label == "train":
            axes.plot(x, y, color=INK, linewidth=0.7, alpha=0.35)
            axes.plot(x, [value for _, value in smooth(points)], color=INK, linewidth=1.6, label="train")
        else:
            marker = "o" if len(x) <= 60 and label.startswith("held out") else ""
            axes.plot(x, y, color=next(colours), linewidth=1.6, marker=marker, markersize=3.5, label=label)
    axes.set_xlabel(f"tokens{unit}", color=INK)
    axes.set_ylabel("loss (nats per token)", color=INK)
    axes.tick_params(colors=INK)
    axes.grid(color=INK, alpha=0.2, linewidth=0.6)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)
    axes.legend(frameon=False, labelcolor=INK)
    return figure


def smooth(points: Curve, share: float = 0.02) -> Curve:
    """The running mean over the last `share` of the curve's points, at least one."""
    window = max(1, int(len(points) * share))
    values = [value for _, value in points]
    means = [sum(values[max(0, i + 1 - window) : i + 1]) / min(window, i + 1) for i in range(len(values))]
    return [(x, mean) for (x, _), mean in zip(points, means, strict=True)]


def scale_of(most: float) -> tuple[float, str]:
    """The divisor and the word for an axis that ends at `most` tokens."""
    for scale, unit in ((1e12, " (trillions)"), (1e9, " (billions)"), (1e6, " (millions)"), (1e3, " (thousands)")):
        if most >= scale:
            return scale, unit
    return 1.0, ""


def save_png(figure: Any, path: Path) -> None:
    """White ground, 150 dots per inch; the same figure gives the same bytes."""
    temporary = path.with_name(path.name + ".part")
    figure.savefig(temporary, format="png", dpi=150, facecolor="white", metadata={"Software": None})
    temporary.replace(path)


def inline_svg(figure: Any) -> str:
    """An <svg> element to stand inside a page: transparent, in the page's own ink, nothing to load from elsewhere."""
    from matplotlib import rc_context

    drawn = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "packtrain", "font.family": "sans-serif"}):
        figure.savefig(drawn, format="svg", transparent=True, metadata=nothing)
    svg = drawn.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    return svg.replace("<svg ", '<svg role="img" aria-label="loss against tokens" ', 1)
