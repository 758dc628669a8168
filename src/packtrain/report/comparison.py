"""runs → groups that differ in a setting, seeds pooled → mean ± interval, ranked → the sentence that answers

    the figure    the last value of a column of metrics.csv, of finished runs
    the spread    95 % t-interval of the mean over seeds: t · s / √n
    against       the reference, seed by seed over the seeds that both have (the same data in the same order): the
                  t-interval of the mean difference. Where it holds zero, the difference is within noise

The reference is the group that was asked for; else the one that has the commonest value in every setting (the baseline
that each choice departs from), and where no group has, or one setting alone is compared, the best.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packtrain.errors import UserError, did_you_mean
from packtrain.report.differences import chosen, flatten
from packtrain.report.reading import RunData
from packtrain.report.spread import Spread
from packtrain.report.tables import DASH

BITS, LOSS = "val/bits_per_byte", "val/loss"
UNITS = {BITS: "bits a byte", LOSS: "nats a token", "train/loss": "nats a token"}
SEED = "seed"
NOISE, ONE_SEED = "within noise", "one seed: no spread"  # verdicts
NAMES = ("name", "model.name")  # settings whose value says enough without the setting


@dataclass(frozen=True, eq=False)
class Group:
    """Runs of the same settings but the seed: `values` is measure → seed → figure. `without`: runs that have none."""

    label: str
    runs: tuple[RunData, ...]
    values: Mapping[str, Mapping[Any, float]]
    without: int

    def spread(self, measure: str) -> Spread | None:
        return Spread.of(list(self.values[measure].values()))


@dataclass(frozen=True)
class Comparison:
    """`ranked`: best first by the first of `measures`; `reference` is one of them; `empty` have no figure at all."""

    measures: tuple[str, ...]
    ranked: tuple[Group, ...]
    reference: Group
    empty: tuple[Group, ...]

    @property
    def measure(self) -> str:
        return self.measures[0]

    def difference(self, group: Group) -> Spread | None:
        """From the reference's, over the seeds that both have; None for itself."""
        if group is self.reference:
            return None
        ours, theirs = group.values[self.measure], self.reference.values[self.measure]
        shared = [seed for seed in ours if seed in theirs]
        if len(shared) >= min(2, len(ours), len(theirs)):  # a member that failed takes its seed with it
            return Spread.of([ours[seed] - theirs[seed] for seed in shared])
        one, other = group.spread(self.measure), self.reference.spread(self.measure)
        assert one is not None and other is not None
        halves = None if one.half is None or other.half is None else math.hypot(one.half, other.half)
        return Spread(one.mean - other.mean, halves, min(one.n, other.n))

    def verdict(self, group: Group) -> str:
        """What the difference is worth, in words."""
        found = self.difference(group)
        if found is None:
            return "reference"
        if found.half is None:
            return ONE_SEED
        if abs(found.mean) <= found.half:
            return NOISE
        return "better" if (found.mean < 0) != higher_is_better(self.measure) else "worse"

    def sentence(self, question: str) -> str:
        """The answer, with a figure and a spread; then how many others stand out."""
        best = self.ranked[0]
        unit = UNITS.get(self.measure, self.measure)
        said = f"{best.label}: {best.spread(self.measure)} {unit} over {_seeds(best.spread(self.measure))}"
        other = self.reference if best is not self.reference else next(iter(self.ranked[1:]), None)
        if other is not None:
            away = self.difference(best) or self.difference(other)
            assert away is not None  # one of the two is not the reference
            role = "the reference" if other is self.reference else "the next best"
            verdict = self.verdict(best if best is not self.reference else other)
            noise = verdict if verdict in (NOISE, ONE_SEED) else "beyond noise"
            if best is not self.reference and noise == NOISE:
                said = f"None beyond noise; the best figure is that of {said}"
            said += (
                f", against {other.spread(self.measure)} of {role}, {other.label} (difference {away.signed()}, {noise})"
            )
        verdicts = Counter(self.verdict(group) for group in self.ranked)
        counts = ", ".join(f"{verdicts[v]} {v}" for v in ("better", NOISE, "worse") if verdicts[v])
        question = question.strip() + " " if question.strip() else ""
        return f"{question}{said}." + (
            f" Of {len(self.ranked) - 1} others beside the reference: {counts}." if counts else ""
        )

    def rows(self) -> tuple[Sequence[str], list[Sequence[str]]]:
        """(headers, rows): choice, figure, difference, verdict, seeds, the other measures."""
        headers = ("choice", self.measure, "to the reference", "", "seeds", *self.measures[1:])
        rows: list[Sequence[str]] = []
        for group in self.ranked:
            found, difference = group.spread(self.measure), self.difference(group)
            away = DASH if difference is None else difference.signed()
            seeds = f"{found.n if found else 0}" + (f", {group.without} without a figure" if group.without else "")
            others = (str(group.spread(name) or DASH) for name in self.measures[1:])
            rows.append((group.label, str(found), away, self.verdict(group), seeds, *others))
        for group in self.empty:
            blanks = [DASH] * (len(self.measures) - 1)
            rows.append((group.label, DASH, DASH, "no finished run", f"0, {group.without} without a figure", *blanks))
        return headers, rows


def compare(
    runs: Sequence[RunData], keys: Sequence[str] = (), measures: Sequence[str] = (), against: str | None = None
) -> Comparison:
    """Groups by `keys` (none: every setting that differs but the seed), ranked by the first of `measures`.

    `against`: the reference, as the page calls it. Raises `UserError` for a key in which no run differs, fewer than two
    groups, a column that no run has, or a reference that is none of the groups.
    """
    if len(runs) < 2:
        raise UserError("a question is answered by comparing runs, here is one alone; give runs=[A,B], or a sweep's")
    settings = _settings(runs, keys)
    measures = tuple(measures) or _usual(runs)
    groups: dict[tuple[str, ...], list[int]] = {}
    for i in range(len(runs)):
        groups.setdefault(tuple(values[i] for values in settings.values()), []).append(i)
    commonest = tuple(Counter(values).most_common(1)[0][0] for values in settings.values())
    made, reference = [], None
    for values, places in groups.items():
        group = _group(_label(settings, values, commonest), [runs[i] for i in places], measures)
        made.append(group)
        if len(settings) > 1 and values == commonest and group.values[measures[0]]:
            reference = group
    filled = [group for group in made if group.values[measures[0]]]
    for measure in measures:
        if not any(group.values[measure] for group in made):
            raise UserError(f"measure={measure}: no finished run has it{did_you_mean(measure, _columns(runs))}")
    sign = -1.0 if higher_is_better(measures[0]) else 1.0
    if against is not None:
        labels = [group.label for group in filled]
        if against not in labels:
            raise UserError(f"reference={against} is none of the groups{did_you_mean(against, labels)}")
        reference = filled[labels.index(against)]
    filled.sort(key=lambda group: sign * (spread.mean if (spread := group.spread(measures[0])) else math.inf))
    empty = tuple(group for group in made if not group.values[measures[0]])
    return Comparison(measures, tuple(filled), reference or filled[0], empty)


def higher_is_better(measure: str) -> bool:
    """Of a task's score; of losses the lower."""
    return measure.startswith("tasks/")


def _settings(runs: Sequence[RunData], keys: Sequence[str]) -> dict[str, list[str]]:
    """Setting → a word for each run."""
    configs = [run.config for run in runs]
    flat = [flatten(config) for config in configs]
    if keys:
        for key in keys:
            if not any(name == key or name.startswith(f"{key}.") for one in flat for name in one):
                raise UserError(f"compare={key}{did_you_mean(key, {name for one in flat for name in one})}")
        names = sorted({n for one in flat for n in one if n in keys or n.startswith(tuple(f"{k}." for k in keys))})
        found = {name: [one.get(name) for one in flat] for name in names}
    else:
        found = {name: values for name, values in chosen(configs).items() if name != SEED}
        if any(name.startswith("fingerprints.") for name in found):  # another pack: called by its folder
            found["data.path"] = [one.get("data.path") for one in flat]
        found = {name: values for name, values in found.items() if not name.startswith("fingerprints.")}
    found = {name: [_word(name, value) for value in values] for name, values in found.items()}
    found = {name: values for name, values in found.items() if len({*values}) > 1}
    if not found:
        what = f"compare={','.join(keys)}" if keys else "the runs"
        raise UserError(f"{what}: no two of the {len(runs)} runs differ in it but by their seed; give other runs")
    return found


def _word(name: str, value: Any) -> str:
    if name == "data.path" and value:
        return "/".join(Path(str(value)).parts[-2:])
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _label(settings: Mapping[str, list[str]], values: Sequence[str], commonest: Sequence[str]) -> str:
    """What departs from the commonest; of one setting its value."""
    if len(settings) == 1:
        name = next(iter(settings))
        return values[0] if name in NAMES else f"{name}={values[0]}"
    pairs = zip(settings, values, commonest, strict=True)
    return ", ".join(f"{name}={value}" for name, value, usual in pairs if value != usual) or "baseline"


def _group(label: str, runs: Sequence[RunData], measures: Sequence[str]) -> Group:
    for seed, n in Counter(run.config.get(SEED, i) for i, run in enumerate(runs)).items():
        if n > 1:  # seeds are pooled: what else differs would be lost in the spread
            settings = list(chosen([run.config for run in runs if run.config.get(SEED) == seed]))
            more = (
                f": they differ in {', '.join(settings[:3])}; compare= by that too, or along={settings[0]}"
                if settings
                else ""
            )
            raise UserError(f"{label}: {n} of its runs have seed {seed}{more or '; leave all but one out'}")
    found = {
        m: {run.config.get(SEED, i): v for i, run in enumerate(runs) if (v := figure(run, m)) is not None}
        for m in measures
    }
    return Group(label, tuple(runs), found, len(runs) - len(found[measures[0]]))


def figure(run: RunData, measure: str) -> float | None:
    """Of a finished run; None where it has none, or one that is no number."""
    if not run.summary.get("finished"):
        return None
    value = run.last(measure)
    if measure == "train/loss":  # the mean of the last steps, where the run said it
        value = run.summary.get("train_loss", value)
    if measure == BITS and value is None:
        value = run.evaluation.get("weighted", {}).get("bits_per_byte")
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _usual(runs: Sequence[RunData]) -> tuple[str, ...]:
    finished = [run for run in runs if run.summary.get("finished")]
    return (BITS,) if finished and all(figure(run, BITS) is not None for run in finished) else (LOSS,)


def _columns(runs: Sequence[RunData]) -> set[str]:
    return {column for run in runs for row in run.metrics for column in row}


def _seeds(spread: Spread | None) -> str:
    n = spread.n if spread else 0
    return f"{n} seed{'s' if n != 1 else ''}"
