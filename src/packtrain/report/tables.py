"""figures → aligned lines of text, for the terminal and, cell by cell, for the page

Unknown is unknown: a figure that was not measured is a dash or is said in words, never a guess.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from packtrain.report.reading import RunData

EVALUATION_HEADERS = ("held-out text", "loss", "perplexity", "bits/byte", "unigram", "xz -9", "vs unigram", "verdict")
DASH = "–"


def text_table(headers: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Columns two spaces apart, numbers to the right, the columns numbered in `left` to the left."""
    lines = [list(headers), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headers))]
    aligned = [
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([aligned[0], "─" * max(map(len, aligned)), *aligned[1:]])


def evaluation_rows(evaluation: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One row per domain under `EVALUATION_HEADERS`, and the mean weighted as the mixture last."""
    domains = [(name, figures) for name, figures in evaluation.get("domains", {}).items()]
    if len(domains) > 1 and evaluation.get("weighted"):
        domains.append(("weighted mean", evaluation["weighted"]))
    return [
        (
            name,
            number(row.get("loss"), 3),
            number(row.get("perplexity"), 1),
            number(row.get("bits_per_byte"), 3),
            number(row.get("unigram_bits_per_byte"), 3),
            number(row.get("xz_bits_per_byte"), 3),
            percent(row.get("under_unigram_percent")),
            verdict(row),
        )
        for name, row in domains
    ]


def evaluation_table(evaluation: Mapping[str, Any]) -> str:
    return text_table(EVALUATION_HEADERS, evaluation_rows(evaluation), left=(0, 7))


def verdict(figures: Mapping[str, Any]) -> str:
    """Which of the baselines the model beats, in words; where xz is better it says so."""
    unigram, xz = figures.get("under_unigram_percent"), figures.get("under_xz_percent")
    if not isinstance(unigram, (int, float)) or not isinstance(xz, (int, float)):
        return DASH
    if unigram <= 0:
        return "worse than the unigram entropy" + ("" if xz > 0 else f"; xz is better by {-xz:.0f} %")
    return f"beats both, xz by {xz:.0f} %" if xz > 0 else f"xz is still better, by {-xz:.0f} %"


def summary_lines(run: RunData) -> list[tuple[str, str]]:
    """(what, figure in words) of a run's training: size, speed, MFU, energy. Empty where training has not finished."""
    summary = run.summary
    if not summary:
        return []
    return [
        ("model", f"{count(summary.get('parameters'))} parameters"),
        ("trained", f"{count(summary.get('tokens'))} tokens in {count(summary.get('step'))} steps"),
        ("time", duration(summary.get("wall_seconds"))),
        ("train loss", number(summary.get("train_loss"), 3)),
        ("speed", f"{count(summary.get('tokens_per_second'))} tokens/s, {mfu_words(summary)}"),
        ("energy", energy_words(summary)),
        *(
            (what, words)
            for what, words in (("where time", time_words(summary)), ("spikes", spike_words(summary)))
            if words
        ),
    ]


def time_words(summary: Mapping[str, Any]) -> str:
    """`compute 81 %, optimiser 9 %, …; goodput 88 %`, of the seconds that the parts are known of; empty for none."""
    seconds = {name: float(value) for name, value in (summary.get("seconds") or {}).items()}
    total = sum(seconds.values())
    if not total:
        return ""
    parts = [
        f"{name} {100 * value / total:.0f} %" for name, value in sorted(seconds.items(), key=lambda item: -item[1])
    ]
    goodput = summary.get("goodput")
    return ", ".join(parts) + (f"; goodput {100 * float(goodput):.0f} % since the first start" if goodput else "")


def spike_words(summary: Mapping[str, Any]) -> str:
    """`2 found, 1 update skipped, 0 rewinds`; empty where none was found."""
    spikes = summary.get("spikes") or {}
    if not spikes.get("found") and not spikes.get("rewinds"):
        return ""
    found, skipped, rewinds = (spikes.get(name) or 0 for name in ("found", "skipped", "rewinds"))
    return f"{found} found, {skipped} updates skipped, {rewinds} rewinds"


def mfu_words(summary: Mapping[str, Any]) -> str:
    """`MFU 41.0 % (6N, peak measured)`, or why there is none."""
    if summary.get("mfu") is None and not summary.get("peak_flops"):
        return f"MFU unknown ({summary.get('mfu_unknown') or 'no peak FLOP/s is known for this machine'})"
    if summary.get("mfu") is None or float(summary["mfu"]) > 1:
        return "MFU unknown (faster than the peak that was measured: the machine was busy meanwhile)"
    details = [str(summary["mfu_convention"])] if summary.get("mfu_convention") else []
    if summary.get("peak_source"):
        details.append(f"peak {summary['peak_source']}")
    return f"MFU {100 * float(summary['mfu']):.1f} %" + (f" ({', '.join(details)})" if details else "")


def energy_words(summary: Mapping[str, Any]) -> str:
    """`0.0053 kWh, 2.0 gCO2eq (rated)`: the word measured, rated or guessed always stands beside the figure."""
    energy = summary.get("energy_kwh")
    if energy is None:
        return "not recorded"
    carbon = summary.get("co2eq_g")
    carbon_words = f", {float(carbon):.3g} gCO2eq" if carbon is not None else ""
    source = summary.get("energy_source") or "source not recorded"
    detail = f": {summary['energy_detail']}" if summary.get("energy_detail") else ""
    return f"{float(energy):.3g} kWh{carbon_words} ({source}{detail})"


def comparison_table(runs: Sequence[RunData], names: Sequence[str]) -> str:
    """Several runs side by side: size, tokens, loss, bits per byte, speed, energy."""
    return text_table(COMPARISON_HEADERS, comparison_rows(runs, names))


COMPARISON_HEADERS = ("run", "parameters", "tokens", "train loss", "held-out loss", "bits/byte", "tokens/s", "kWh")


def comparison_rows(runs: Sequence[RunData], names: Sequence[str]) -> list[tuple[str, ...]]:
    """Of a run that has not ended, what its last row says; the energy of all in the last line."""
    rows = []
    energies = [run.summary.get("energy_kwh", run.last("carbon/energy_kwh")) for run in runs]
    for run, name, energy in zip(runs, names, energies, strict=True):
        summary, held_out = run.summary, run.evaluation.get("weighted", {})
        rows.append(
            (
                name,
                count(run.parameters),
                count(summary.get("tokens", run.last("tokens"))),
                number(summary.get("train_loss", run.last("train/loss")), 3),
                number(held_out.get("loss", run.last("val/loss")), 3),
                number(held_out.get("bits_per_byte", run.last("val/bits_per_byte")), 3),
                count(summary.get("tokens_per_second", run.last("throughput/tokens_per_second"))),
                DASH if energy is None else f"{float(energy):.3g}",
            )
        )
    known = [float(energy) for energy in energies if energy is not None]
    if len(known) > 1:
        rows.append(("all", *[""] * 6, f"{sum(known):.3g}"))
    return rows


def number(value: Any, digits: int) -> str:
    """A figure with `digits` decimals; a dash where there is none."""
    return f"{float(value):.{digits}f}" if isinstance(value, (int, float)) and math.isfinite(value) else DASH


def percent(value: Any) -> str:
    return f"{-float(value):+.0f} %" if isinstance(value, (int, float)) else DASH


def count(value: Any) -> str:
    """A whole number in groups of three: 4 194 304."""
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return DASH
    return f"{round(value):,}".replace(",", " ")


def duration(seconds: Any) -> str:
    if not isinstance(seconds, (int, float)):
        return DASH
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
