"""a comparison of groups of runs → the page that answers its question in the first sentence

the answer → ranking with intervals → the choices' figures as dots with bars → each group's curve → energy → the runs
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from packtrain.report import sections, tables
from packtrain.report.comparison import Comparison, Group
from packtrain.report.figures import Curve, chart, dots
from packtrain.report.page import Drawn, block, document, gallery, pairs, table
from packtrain.report.pictures import Picture
from packtrain.report.reading import RunData

HOW = (
    "Mean over seeds ± half of its 95 % t-interval; differences are taken seed by seed, which share their data. Within "
    "noise: the interval of the difference holds zero. Of twenty choices that change nothing one still stands out."
)
SHOWN = 7  # curves in one picture: as many as there are colours


def answer_page(
    sentence: str,
    found: Comparison,
    runs: Sequence[RunData],
    names: Sequence[str],
    drawn: Sequence[Drawn],
    notes: Sequence[str],
    failed: Mapping[str, str],
) -> str:
    """The whole document; `failed` are members of the sweep without a run, with what they said."""
    headers, rows = found.rows()
    parts = [f"<h1>{escape(sentence)}</h1>", *(f'<p class="soft">{escape(note)}</p>' for note in notes)]
    parts += [table(headers, rows, words=(3, 4)), f'<p class="soft">{escape(HOW)}</p>', *gallery(drawn)]
    if failed:
        parts += ["<h2>Members that failed</h2>", pairs(failed.items())]
    parts += block("Energy and carbon", sections.energy(runs, names), words=(8,), after=sections.PAPER_FORMULA)
    parts += ["<h2>Every run</h2>", table(tables.COMPARISON_HEADERS, tables.comparison_rows(runs, names))]
    parts += block("Exact versions", sections.versions(runs[:1], names[:1]), words=(1,))
    return document("a question answered", parts)


def answer_pictures(found: Comparison) -> list[Picture]:
    """`ranking`: each choice's figure with its interval; `curves`: the mean curve of the first and of the reference."""
    spreads = [(group.label, spread) for group in found.ranked if (spread := group.spread(found.measure))]
    ranking = dots([(label, s.mean, s.half or 0.0) for label, s in spreads], found.measure)
    shown = dict.fromkeys([found.reference, *found.ranked[:SHOWN]])
    curves = {group.label: mean_curve(group, found.measure) for group in list(shown)[:SHOWN]}
    made = [
        Picture("ranking", "Mean and 95 % interval of each choice", ranking),
        Picture("curves", f"{found.measure}, mean over seeds", chart({"": curves}, y_label=found.measure)),
    ]
    return [picture for picture in made if picture.figure is not None]


def mean_curve(group: Group, column: str) -> Curve:
    """The mean over the group's runs at the tokens at which all of them have a value."""
    each = [dict(run.curve(column)) for run in group.runs if column in group.values and run.summary.get("finished")]
    if not each:
        return []
    shared = sorted(set.intersection(*(set(curve) for curve in each)))
    return [(tokens, sum(curve[tokens] for curve in each) / len(each)) for tokens in shared]
