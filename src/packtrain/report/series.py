"""runs → a comparison at each value of a setting, or by each measure → where a difference begins; the best at each

    along=data.tokens   groups that differ in what is compared, at each number of tokens: by the first measure
    along=measure       the same groups by each measure: what a choice lifts, and what it leaves as it was

With a reference that was asked for the first sentence says at which places another group is better or worse than it;
without one, which group is best at each place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from packtrain.errors import UserError, did_you_mean
from packtrain.report.comparison import NOISE, ONE_SEED, UNITS, Comparison, Group, compare
from packtrain.report.differences import flatten
from packtrain.report.reading import RunData
from packtrain.report.spread import Spread

MEASURE = "measure"  # along= this: the places are the measures
VERDICTS = ("better", "worse", NOISE)  # the order in which they are told


@dataclass(frozen=True)
class Place:
    """`label`: the value of the setting, or the measure; `at`: that value where it is a number."""

    label: str
    at: float | None
    found: Comparison


@dataclass(frozen=True)
class Series:
    """`against`: the reference that was asked for, a label that is in every place. `left_out`: places that could not be
    compared (a member failed), each with the reason.
    """

    along: str
    places: tuple[Place, ...]
    against: str | None
    left_out: tuple[str, ...] = ()

    @property
    def measures(self) -> tuple[str, ...]:
        """Those that have one unit along the places; of `along=measure` all."""
        if self.along == MEASURE:
            return tuple(place.label for place in self.places)
        return self.places[0].found.measures

    @property
    def labels(self) -> list[str]:
        """The groups, in the order in which they are met."""
        return list(dict.fromkeys(group.label for place in self.places for group in place.found.ranked))

    def sentence(self, question: str) -> str:
        """The answer: each place has a figure with its spread."""
        question = question.strip() + " " if question.strip() else ""
        if self.against is None:
            key = self._shared_key()
            best = "; ".join(self._best(place, len(f"{key}=") if key else 0) for place in self.places)
            return f"{question}{f'Of {key} {best}' if key else best[:1].upper() + best[1:]}."
        others = [label for label in self.labels if label != self.against]
        return f"{question}{'; '.join(self._standing(label) for label in others)}."

    def _best(self, place: Place, cut: int) -> str:
        """`at data.tokens=200000 320k: 3.6301 ± 0.0100, before 170k by 0.0200 ± 0.0300 (within noise)`; the first `cut`
        letters of each group, which all have, are said once, before.
        """
        best, *rest = place.found.ranked
        said = f"at {self._called(place)} {best.label[cut:]}: {best.spread(place.found.measure)}{self._unit(place)}"
        if not rest:
            return said
        own = replace(place.found, reference=best)
        away, verdict = own.difference(rest[0]), own.verdict(rest[0])
        assert away is not None
        worth = verdict if verdict in (NOISE, ONE_SEED) else "beyond noise"
        return f"{said}, before {rest[0].label[cut:]} by {Spread(abs(away.mean), away.half, away.n)} ({worth})"

    def _shared_key(self) -> str:
        """The one setting in which all groups differ, where their labels say it; else nothing."""
        keys = {label.rpartition("=")[0] for label in self.labels}
        return keys.pop() if len(keys) == 1 and not any("," in label for label in self.labels) else ""

    def _standing(self, label: str) -> str:
        """`A against B: better in …, worse in …, within noise in …`, with the difference at each."""
        told: dict[str, list[str]] = {}
        for place, group in self._of(label):
            away = place.found.difference(group)
            figure = f" ({away.signed()})" if away else ""
            told.setdefault(place.found.verdict(group), []).append(f"{place.label}{figure}")
        unit = f" {UNITS.get(self.measures[0], self.measures[0])}" if self.along != MEASURE else ""
        seeds = {group.spread(place.found.measure) for place, group in self._of(label)}
        n = min((spread.n for spread in seeds if spread), default=0)
        where = "in" if self.along == MEASURE else f"at {self.along} ="
        order = [*(v for v in VERDICTS if v in told), *(v for v in told if v not in VERDICTS)]
        parts = [f"{verdict} {where} {', '.join(told[verdict])}" for verdict in order]
        return f"{label} against {self.against} over {n} seed{'s' if n != 1 else ''}: {'; '.join(parts)}{unit}"

    def _of(self, label: str) -> Iterator[tuple[Place, Group]]:
        return ((place, group) for place in self.places for group in place.found.ranked if group.label == label)

    def _called(self, place: Place) -> str:
        return place.label if self.along in (MEASURE, "model.name") else f"{self.along}={place.label}"

    def _unit(self, place: Place) -> str:
        unit = UNITS.get(place.found.measure)
        return f" {unit}" if unit and place is self.places[0] else ""

    def rows(self) -> tuple[Sequence[str], list[Sequence[str]]]:
        """(headers, rows) as a comparison's, the place first."""
        (_, figure, *headers), _ = self.places[0].found.rows()
        found: list[Sequence[str]] = [(place.label, *row) for place in self.places for row in place.found.rows()[1]]
        return (self.along, "choice", "figure" if self.along == MEASURE else figure, *headers), found

    def curves(self, measure: str) -> tuple[str, dict[str, list[tuple[float, float]]]]:
        """(what the x-axis is, curves of the means of `measure`): one for each group along the setting; where that is
        no number but what is compared is one, for each place along the groups; none where neither is.
        """
        found: dict[str, list[tuple[float, float]]] = {}
        axis = self.along
        for place in self.places:
            for group in place.found.ranked:
                spread = group.spread(measure) if measure in group.values else None
                name, x = place.label, place.at
                if x is not None:
                    name = group.label
                elif (value := _number(group.label.rpartition("=")[2])) is not None and self.along != MEASURE:
                    axis, x = group.label.rpartition("=")[0], value
                if x is not None and spread is not None:
                    found.setdefault(name, []).append((x, spread.mean))
        return axis, {name: sorted(curve) for name, curve in found.items()}

    def differences(self) -> list[tuple[str, float, float]]:
        """(place and group, difference from the reference, half of its interval), where one was asked for."""
        if self.against is None:
            return []
        several = len(self.labels) > 2
        return [
            (f"{place.label}, {group.label}" if several else self._called(place), away.mean, away.half or 0.0)
            for place in self.places
            for group in place.found.ranked
            if (away := place.found.difference(group)) is not None
        ]


def series(
    runs: Sequence[RunData], along: str, keys: Sequence[str], measures: Sequence[str], against: str | None
) -> Series:
    """A comparison at each place. Raises `UserError` as `compare` does, and for a setting that no run has."""
    if along == MEASURE:
        if len(measures) < 2:
            raise UserError("along=measure compares by several measures: give measure=[val/loss,val/loss/code,…]")
        return Series(along, tuple(Place(m, None, compare(runs, keys, (m,), against)) for m in measures), against)
    flat = [flatten(run.config) for run in runs]
    if not any(along in one for one in flat):
        raise UserError(f"along={along}{did_you_mean(along, {*(name for one in flat for name in one), MEASURE})}")
    values = [one.get(along) for one in flat]
    distinct = list(dict.fromkeys(values))
    if len(distinct) < 2:
        raise UserError(f"along={along}: all {len(runs)} runs have {distinct[0]}; give other runs, or no along=")
    numbers = [float(v) for v in distinct if isinstance(v, (int, float)) and not isinstance(v, bool)]
    axis = dict(zip(distinct, numbers, strict=True)) if len(numbers) == len(distinct) else {}
    made, left_out = [], []
    for value in sorted(axis, key=axis.__getitem__) or distinct:
        here = [run for run, own in zip(runs, values, strict=True) if own == value]
        try:
            made.append(Place(str(value), axis.get(value), compare(here, keys, measures, against)))
        except UserError as error:
            left_out.append(f"{along}={value}: left out: {error}")
            if len(left_out) == len(distinct):
                raise
    return Series(along, tuple(made), against, tuple(left_out))


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
