"""curves, shares → matplotlib → PNG for papers, SVG for the page

matplotlib is the extra `report`; it is imported when a figure is drawn, so that the rest of the report does without.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from packtrain.errors import UserError

COLOURS = ("#2f7ed8", "#e07b39", "#3a9d6a", "#9b59b6", "#c0504d", "#8a8d00", "#17a2b8")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 1.5, 1, 1.5)))  # the colours again, in lines of another kind
INK = "#777788"  # readable on white and on black alike; in the SVG it becomes the page's own text colour
SIZE = (5.2, 3.3)  # inches: letters that are still read when a phone shows the picture on 360 pixels
MOST_TICKS = 6  # values of a sweep that are ticked each
MOST_POINTS = 600  # of a curve in a picture
BESIDE, BELOW = 32, 64  # letters of a line of names beside an axis, and below the picture
Curve = Sequence[tuple[float, float]]


def chart(
    panels: Mapping[str, Mapping[str, Curve]],
    x_label: str = "tokens",
    y_label: str = "loss (nats per token)",
    raw: Mapping[str, Curve] | None = None,
    from_zero: bool = False,
    log_x: bool = False,
) -> Any:
    """A matplotlib Figure of one panel, or of several with the same axes, two beside each other.

    `panels`: title → label → (x, y); the same label has the same colour in each. `raw` are thin curves behind those of
    the same label. None where nothing has two points. Raises `UserError` where matplotlib is missing.
    """
    panels = {title: {k: c for k, c in curves.items() if len(c) > 1} for title, curves in panels.items()}
    panels = {title: curves for title, curves in panels.items() if curves}
    if not panels:
        return None
    rows = (len(panels) + 1) // 2
    figure = _figure(SIZE if len(panels) == 1 else (SIZE[0], max(SIZE[1], 1.9 * rows + 0.5)))
    grid = figure.subplots(rows, min(2, len(panels)), sharex=True, sharey=True, squeeze=False)
    cells = list(grid.flat)
    labels = list(dict.fromkeys(label for curves in panels.values() for label in curves))
    most = max(x for curves in panels.values() for points in curves.values() for x, _ in points)
    scale, unit = (1.0, "") if log_x else scale_of(most)
    for axes, (title, curves) in zip(cells, panels.items(), strict=False):
        for label, points in curves.items():
            colour, dash = look(labels.index(label)) if label != "training" else (INK, "-")
            if raw and label in raw:
                axes.plot(*_xy(raw[label], scale), color=colour, linewidth=0.6, alpha=0.3)
            marker = "o" if len(points) <= 40 else ""
            axes.plot(*_xy(points, scale), color=colour, linestyle=dash, linewidth=1.5, marker=marker, markersize=3,
                      label=label)  # fmt: skip
        if title:
            axes.set_title(title, color=INK, fontsize=9)
        if log_x:
            axes.set_xscale("log")
            values = sorted({x for points in curves.values() for x, _ in points if x > 0}) or [1.0]
            places = {x: short(x) for x in values} if len(values) <= MOST_TICKS else log_ticks(values[0], values[-1])
            axes.set_xticks(list(places), list(places.values()))
            axes.set_xticks([], minor=True)
        if from_zero:
            axes.set_ylim(bottom=0)
        _plain(axes)
    for axes in cells[len(panels) :]:
        axes.remove()
    for axes in cells[max(0, len(panels) - 2) : len(panels)]:  # the lowest of each column
        axes.set_xlabel(f"{x_label}{unit}", color=INK, fontsize=10)
        axes.tick_params(labelbottom=True)
    figure.supylabel(y_label, color=INK, fontsize=10)
    _legend(figure, cells[0] if len(panels) == 1 else None, labels)
    return figure


def look(number: int) -> tuple[str, Any]:
    """Colour and dashes of the curve `number`, another for each of the first 28."""
    return COLOURS[number % len(COLOURS)], DASHES[number // len(COLOURS) % len(DASHES)]


def shares(parts: Mapping[str, Mapping[str, float]]) -> Any:
    """One bar a run, cut into its parts in percent: run → part → seconds. None where no run has any."""
    parts = {run: seconds for run, seconds in parts.items() if sum(seconds.values()) > 0}
    if not parts:
        return None
    figure = _figure((SIZE[0], 1.1 + 0.4 * len(parts)))
    axes = figure.subplots()
    labels = list(dict.fromkeys(part for seconds in parts.values() for part in seconds))
    for number, seconds in enumerate(parts.values()):
        left, whole = 0.0, sum(seconds.values())
        for part, value in seconds.items():
            share = 100 * value / whole
            colour = COLOURS[labels.index(part) % len(COLOURS)]
            axes.barh(number, share, left=left, color=colour, label=part if number == 0 else None)
            if share >= 8:
                axes.text(
                    left + share / 2, number, f"{share:.0f} %", ha="center", va="center", color="#ffffff", fontsize=8
                )
            left += share
    axes.set_yticks(range(len(parts)), list(parts))
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of the time", color=INK)
    _plain(axes)
    axes.grid(visible=False)
    _legend(figure, None, labels)
    return figure


def dots(rows: Sequence[tuple[str, float, float]], x_label: str, zero: bool = False) -> Any:
    """A dot a row with a bar of ± its interval, the first row on top: (label, value, half of the interval).

    `zero`: with a line there.
    """
    if not rows:
        return None
    labels = [folded(label, BESIDE) for label, _, _ in rows]
    figure = _figure((SIZE[0], 1.0 + 0.28 * len(rows) + 0.14 * sum(label.count("\n") for label in labels)))
    axes = figure.subplots()
    places = range(len(rows))
    values, halves = [value for _, value, _ in rows], [half for _, _, half in rows]
    axes.errorbar(values, places, xerr=halves, fmt="o", color=COLOURS[0], markersize=4, linewidth=1.2, capsize=2)
    if zero:
        axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.set_xlabel(x_label, color=INK)
    _plain(axes)
    return figure


def folded(label: str, width: int) -> str:
    """In lines of at most `width` letters: a group that differs in many settings has a long name."""
    return textwrap.fill(label, width, break_on_hyphens=False)


def smooth(points: Curve, share: float = 0.02) -> Curve:
    """The running mean over the last `share` of the curve's points, at least one."""
    window = max(1, int(len(points) * share))
    values = [value for _, value in points]
    means = [sum(values[max(0, i + 1 - window) : i + 1]) / min(window, i + 1) for i in range(len(values))]
    return [(x, mean) for (x, _), mean in zip(points, means, strict=True)]


def scale_of(most: float) -> tuple[float, str]:
    """The divisor and the word for an axis that ends at `most`."""
    for scale, unit in ((1e12, " (trillions)"), (1e9, " (billions)"), (1e6, " (millions)"), (1e3, " (thousands)")):
        if most >= scale:
            return scale, unit
    return 1.0, ""


def log_ticks(least: float, most: float) -> dict[float, str]:
    """1, 2 and 5 times powers of ten between the two, or the powers alone where there are many: value → its words."""
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    factors = (1, 2, 5) if len(powers) <= 4 else (1,)
    found = [factor * 10.0**power for power in powers for factor in factors]
    return {x: f"{x:.0e}".replace("e+", "e") for x in found if least <= x <= most}


def short(value: float) -> str:
    """0.004, 33k, 2.1M: a number where there is little room."""
    for scale, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:.0f}{letter}" if value >= 10 * scale else f"{value / scale:.2g}{letter}"
    return f"{value:g}"


def save_png(figure: Any, path: Path) -> None:
    """White ground, 220 dots per inch; the same figure gives the same bytes."""
    temporary = path.with_name(path.name + ".part")
    figure.savefig(temporary, format="png", dpi=220, facecolor="white", metadata={"Software": None})
    temporary.replace(path)


def inline_svg(figure: Any, title: str) -> str:
    """An <svg> element to stand inside a page: transparent, in the page's own ink, nothing to load from elsewhere."""
    from matplotlib import rc_context

    drawn = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": f"packtrain {title}", "font.family": "sans-serif"}):
        figure.savefig(drawn, format="svg", transparent=True, metadata=nothing)
    svg = drawn.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)


def _figure(size: tuple[float, float]) -> Any:
    try:
        from matplotlib.figure import Figure  # Figure alone draws with Agg: no display, no global state
    except ImportError:
        raise UserError("figures need matplotlib: pip install 'packtrain[report]'") from None
    return Figure(figsize=size, layout="constrained")


def _xy(points: Curve, scale: float) -> tuple[list[float], list[float]]:
    """Two lists, thinned evenly to `MOST_POINTS`, the last point kept."""
    stride = -(-len(points) // MOST_POINTS)
    kept = [*points[:-1][::stride], points[-1]]
    return [x / scale for x, _ in kept], [y for _, y in kept]


def _plain(axes: Any) -> None:
    """No frame, thin lines behind, everything in the page's ink."""
    axes.tick_params(colors=INK, labelsize=9)
    axes.grid(color=INK, alpha=0.2, linewidth=0.6)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)


def _legend(figure: Any, axes: Any | None, labels: Sequence[str]) -> None:
    """Inside the only panel where there is room, else below the panels, in as many columns as their words leave."""
    if axes is not None and 1 < len(labels) <= 3:
        axes.legend(frameon=False, labelcolor=INK, fontsize=9)
    elif len(labels) > 1:
        handles: dict[str, Any] = {}
        for one in figure.axes:
            handles |= {label: handle for handle, label in zip(*one.get_legend_handles_labels(), strict=True)}
        names = [folded(label, BELOW) for label in handles]
        columns = max(1, min(3, 50 // (max(map(len, labels)) + 5)))
        lines = -(-len(labels) // columns) + sum(name.count("\n") for name in names)
        figure.set_figheight(figure.get_figheight() + 0.18 * lines)
        figure.legend(handles.values(), names, loc="outside lower center", ncols=columns, frameon=False,
                      labelcolor=INK, fontsize=9)  # fmt: skip
