"""a comparison of groups of runs, or a series of them → the page that answers its question in the first sentence

the answer → ranking with intervals → the choices' figures as dots with bars → each group's curve → energy → the runs
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape

from packtrain.report import sections, tables
from packtrain.report.comparison import Comparison, Group, higher_is_better
from packtrain.report.figures import Curve, chart, dots, smooth
from packtrain.report.page import Drawn, block, document, gallery, pairs, table
from packtrain.report.pictures import Picture
from packtrain.report.reading import RunData
from packtrain.report.series import MEASURE, Series

HOW = (
    "Mean over seeds ± half of its 95 % t-interval; differences are taken seed by seed, which share their data. Within "
    "noise: the interval of the difference holds zero. Of twenty choices that change nothing one still stands out."
)
LEAST = 5  # points that make a curve of the measure, else the training loss is drawn
SHOWN = 7  # curves in one picture: as many as there are colours


def answer_page(
    sentence: str,
    found: Comparison | Series,
    runs: Sequence[RunData],
    names: Sequence[str],
    drawn: Sequence[Drawn],
    notes: Sequence[str],
    failed: Mapping[str, str],
) -> str:
    """The whole document; `failed` are members of the sweep without a run, with what they said."""
    headers, rows = found.rows()
    parts = [f"<h1>{escape(sentence)}</h1>", *(f'<p class="soft">{escape(note)}</p>' for note in notes)]
    parts += [table(headers, rows, words=word_columns(found)), f'<p class="soft">{escape(HOW)}</p>', *gallery(drawn)]
    if failed:
        parts += ["<h2>Members that failed</h2>", pairs(failed.items())]
    parts += block("Energy and carbon", sections.energy(runs, names), words=(8,), after=sections.PAPER_FORMULA)
    parts += ["<h2>Every run</h2>", table(tables.COMPARISON_HEADERS, tables.comparison_rows(runs, names))]
    parts += block("Exact versions", sections.versions(runs[:1], names[:1]), words=(1,))
    return document("a question answered", parts)


def word_columns(found: Comparison | Series) -> tuple[int, ...]:
    """Those of its rows that hold words, beside the first."""
    return (1, 4, 5) if isinstance(found, Series) else (3, 4)


def answer_pictures(found: Comparison | Series) -> list[Picture]:
    """`ranking`: each choice's figure with its interval; `curves`: the mean curve of the first and of the reference;
    `flops`, of several sizes: against what they cost. Of a series `along`, `differences`, and those of its last place.
    """
    if isinstance(found, Series):
        made = series_pictures(found)
        return made if found.along == MEASURE else made + last_place(found)
    return [picture for picture in _all(found) if picture.figure is not None]


def last_place(found: Series) -> list[Picture]:
    """Its curves, for which the other places leave no room."""
    place = found.places[-1]
    made = [picture for picture in _all(place.found) if picture.figure is not None and picture.name != "ranking"]
    return [replace(picture, title=f"{picture.title}, {found.along}={place.label}") for picture in made]


def series_pictures(found: Series) -> list[Picture]:
    """`along`: the means along the setting, a panel a measure, scores apart; `differences` from the reference."""
    made = []
    for name, scores in (("along", False), ("along_scores", True)):
        panels, axis = {}, found.along
        for measure in found.measures:
            if higher_is_better(measure) == scores and found.along != MEASURE:
                axis, panels[measure] = found.curves(measure)
        y_label = "score" if scores else found.measures[0] if len(panels) == 1 else "nats a token"
        title = f"{'Scores' if scores else 'Means over seeds'} against {axis}"
        made.append(Picture(name, title, chart(panels, axis, y_label, log_x=True)))
    words = "Difference from the reference with its 95 % interval"
    made.append(Picture("differences", words, dots(found.differences(), f"difference from {found.against}", zero=True)))
    return [picture for picture in made if picture.figure is not None]


def _all(found: Comparison) -> list[Picture]:
    spreads = [(group.label, spread) for group in found.ranked if (spread := group.spread(found.measure))]
    ranking = dots([(label, s.mean, s.half or 0.0) for label, s in spreads], found.measure)
    shown = list(dict.fromkeys([found.reference, *found.ranked[:SHOWN]]))[:SHOWN]
    column = found.measure
    if any(len(mean_curve(group, column)) < LEAST for group in shown):  # held out once or twice in a short run
        column = "train/loss"
    curves = {group.label: mean_curve(group, column) for group in shown}
    made = [
        Picture("ranking", "Mean and 95 % interval of each choice", ranking),
        Picture("curves", f"{column}, mean over seeds", chart({"": curves}, y_label=column)),
    ]
    if len({group.runs[0].parameters for group in shown}) > 1:
        costs = {g.label: [(6.0 * (g.runs[0].parameters or 0) * x, y) for x, y in curves[g.label]] for g in shown}
        title = f"{column} against training FLOPs (6 × parameters × tokens)"
        made.append(Picture("flops", title, chart({"": costs}, "training FLOPs", column, log_x=True)))
    return made


def mean_curve(group: Group, column: str) -> Curve:
    """The mean over the group's finished runs at the tokens at which all have a value, smoothed where it is long."""
    each = [dict(run.curve(column)) for run in group.runs if run.summary.get("finished")]
    if not each:
        return []
    shared = sorted(set.intersection(*(set(curve) for curve in each)))
    return smooth([(tokens, sum(curve[tokens] for curve in each) / len(each)) for tokens in shared])
