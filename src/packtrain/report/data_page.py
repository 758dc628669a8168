"""reports of prepared documents → one HTML page: what was kept and why not, lengths, languages, samples

It stands alone: nothing is fetched, no script runs, and text from the web is shown as text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from packtrain.report.page import STYLE, table

MORE = """
.bar { display: inline-block; height: .7rem; border-radius: .2rem; background: #5b7fd6; vertical-align: middle;
  min-width: 1px }
.bar.before { background: var(--line) } .bars td { white-space: nowrap; border: 0; padding: .05rem .6rem }
.bars td.words { width: 100% } .two { display: grid; grid-template-columns: 1fr 1fr; gap: .8rem }
@media (max-width: 44rem) { .two { grid-template-columns: 1fr } }
.two pre { margin: .2rem 0; max-height: 24rem; overflow-y: auto } nav a { margin-right: 1rem; color: inherit }
summary { cursor: pointer; overflow-wrap: anywhere } .warn { border-left: .25rem solid #c98a1b; padding-left: .8rem }
h2 { border-top: 1px solid var(--line); padding-top: 1.5rem }
"""
SHOWN_SKIPS = 40
SHOWN_LANGUAGES = 20
Report = Mapping[str, Any]


def page(reports: Sequence[tuple[Path, Report]]) -> str:
    """The whole document."""
    title = "prepared documents"
    parts = [f"<h1>packtrain · {title}</h1>", overview(reports)]
    if len(reports) > 1:
        links = (f'<a href="#d{i}">{escape(report["domain"])}</a>' for i, (_, report) in enumerate(reports))
        parts.append(f"<nav>{' '.join(links)}</nav>")
    for i, (folder, report) in enumerate(reports):
        parts += section(f"d{i}", folder, report)
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>packtrain · {title}</title>\n<style>{STYLE}{MORE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def overview(reports: Sequence[tuple[Path, Report]]) -> str:
    headers = ("domain", "read", "kept", "dropped", "skipped", "characters", "bytes", "held out")
    rows = [
        (
            str(report["domain"]),
            count(report["read"]),
            count(report["kept"]),
            count(sum(report["dropped"].values())),
            count(sum(report.get("skipped", {}).get("counts", {}).values())),
            count(report["characters"]),
            size(report["bytes"]),
            count(report["splits"].get("held_out", {}).get("documents", 0)),
        )
        for _, report in reports
    ]
    return table(headers, rows)


def section(anchor: str, folder: Path, report: Report) -> list[str]:
    """One domain."""
    share = report["kept"] / report["read"] if report["read"] else 0
    parts = [
        f'<h2 id="{anchor}">{escape(report["domain"])}</h2>',
        f'<p class="soft">{escape(str(folder))} · from {escape(str(report["settings"].get("input")))} · '
        f"{count(report['kept'])} of {count(report['read'])} documents kept ({share:.1%})</p>",
    ]
    parts += steps(report)
    parts += skipped(report.get("skipped", {}))
    parts += not_read(report.get("not_read", {}))
    if after := report.get("after"):
        before = report.get("before", {})
        parts += ["<h3>Length of a document, in characters</h3>", lengths(before.get("lengths", {}), after["lengths"])]
        parts += ["<h3>Languages</h3>", shares(after.get("languages", {}))]
        if set(after.get("licences", {})) - {"unknown"}:
            parts += ["<h3>Licences</h3>", shares(after["licences"])]
    parts += samples(report.get("samples", []))
    parts += dropped_samples(report.get("dropped_samples", []))
    return parts


def steps(report: Report) -> list[str]:
    """What each step did, and the reasons with their counts."""
    if not (made := report.get("steps")):
        rows = [(reason, count(number)) for reason, number in report["dropped"].items()]
        return [table(("dropped because", "documents"), rows)] if rows else []
    rows = [
        (s["name"], count(s["seen"]), count(s["kept"]), count(s["changed"]), count(sum(s["dropped"].values())))
        for s in made
    ]
    parts = ["<h3>Steps</h3>", table(("step", "seen", "kept", "of them changed", "dropped"), rows)]
    for title, key, what in (("Dropped, by reason", "dropped", "documents"), ("Cut from documents", "cut", "pieces")):
        reasons = [(s["name"], why, n) for s in made for why, n in sorted(s[key].items(), key=lambda item: -item[1])]
        if reasons:
            told = [(name, why, count(number)) for name, why, number in reasons]
            parts += [f"<h3>{title}</h3>", table(("step", "reason", what), told, words=(1,))]
    return parts


def skipped(skips: Mapping[str, Any]) -> list[str]:
    """What never became a document, with the first places of each reason."""
    if not skips.get("counts"):
        return []
    rows = [(reason, count(number)) for reason, number in sorted(skips["counts"].items(), key=lambda item: -item[1])]
    places = [
        (s["reason"], s["file"], "" if s["offset"] is None else count(s["offset"]), s["detail"])
        for s in skips["first"][:SHOWN_SKIPS]
    ]
    where = table(("reason", "file", "at", "detail"), places, words=(1, 3))
    return [
        '<h3 class="warn">Could not be read</h3>',
        table(("reason", "times"), rows),
        f"<details><summary>where ({len(places)} places)</summary>{where}</details>",
    ]


def not_read(left: Mapping[str, Any]) -> list[str]:
    """Files of the input folder that the domain did not take: of other kinds, of sites not wanted."""
    if not left.get("count"):
        return []
    more = f" and {count(left['count'] - len(left['first']))} more" if left["count"] > len(left["first"]) else ""
    names = escape(", ".join(left["first"])) + more
    told = f"{count(left['count'])} files of other kinds, or not wanted, were not read"
    return [f"<details><summary>{told}</summary><p>{names}</p></details>"]


def lengths(before: Mapping[str, int], after: Mapping[str, int]) -> str:
    """Two bars for each power of two."""
    keys = sorted({int(key) for key in (*before, *after)})
    most = max([*before.values(), *after.values()], default=1)
    rows = []
    for key in keys:
        raw, kept = before.get(str(key), 0), after.get(str(key), 0)
        label = f"{count(key)} – {count(max(2 * key - 1, 0))}"
        bars = bar(raw / most, "before") + "<br>" + bar(kept / most) if before else bar(kept / most)
        told = f"{count(raw)} → {count(kept)}" if before else count(kept)
        rows.append(f'<tr><td>{label}</td><td class="words">{bars}</td><td>{told}</td></tr>')
    note = '<p class="soft">grey: as read; blue: kept</p>' if before else ""
    return f'<div class="wide"><table class="bars">{"".join(rows)}</table></div>{note}'


def shares(counts: Mapping[str, int]) -> str:
    """Names with a bar for their share, the most frequent first."""
    entries = sorted(counts.items(), key=lambda item: -item[1])
    total = sum(counts.values()) or 1
    rest = sum(number for _, number in entries[SHOWN_LANGUAGES:])
    entries = entries[:SHOWN_LANGUAGES] + ([("others", rest)] if rest else [])
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="words">{bar(number / total)}</td><td>{count(number)}</td></tr>'
        for name, number in entries
    )
    return f'<div class="wide"><table class="bars">{rows}</table></div>'


def bar(share: float, kind: str = "") -> str:
    return f'<span class="bar {kind}" style="width:{100 * min(share, 1):.1f}%"></span>' if share else ""


def samples(drawn: Sequence[Mapping[str, Any]]) -> list[str]:
    """Documents that were kept, as they were and as they are."""
    if not drawn:
        return []
    parts = ["<h3>Ten documents, before and after</h3>", '<p class="soft">drawn by the hash of their ids</p>']
    for i, sample in enumerate(drawn):
        before = sample.get("before")
        columns = [("after", sample), *([("before", before)] if before else [])][::-1]
        shown = "".join(
            f'<div><span class="soft">{name}, {count(part["characters"])} characters'
            f"{', the beginning' if part['characters'] > len(part['text']) else ''}</span>"
            f'<pre dir="auto">{escape(part["text"])}</pre></div>'
            for name, part in columns
        )
        told = " · ".join(str(sample[key]) for key in ("id", "language", "licence") if sample.get(key))
        opened = " open" if i == 0 else ""
        inner = f'<div class="two">{shown}</div>' if before else shown
        parts.append(f"<details{opened}><summary>{escape(told)}</summary>{inner}</details>")
    return parts


def dropped_samples(drawn: Sequence[Mapping[str, Any]]) -> list[str]:
    """A few of those that were dropped, for each step and reason."""
    if not drawn:
        return []
    parts = ["<h3>Some that were dropped</h3>"]
    for sample in drawn:
        told = f"{sample['step']}: {sample['reason']} · {sample['id']}"
        text = f'<pre dir="auto">{escape(sample["text"])}</pre>'
        parts.append(f"<details><summary>{escape(told)}</summary>{text}</details>")
    return parts


def count(number: float) -> str:
    """1 234 567, with narrow blanks that do not break."""
    return f"{int(number):,}".replace(",", "\u202f")


def size(number: float) -> str:
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= limit:
            return f"{number / limit:.1f} {unit}"
    return f"{int(number)} B"
