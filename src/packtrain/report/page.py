"""runs → one HTML page that stands alone: style, tables and figures inside, nothing fetched, light and dark"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from shlex import quote

import yaml

from packtrain.report import sections, tables
from packtrain.report.reading import RunData

STYLE = """
:root { color-scheme: light dark; --ink: #1d1f27; --soft: #6a6d7c; --line: #d9dae2; --ground: #fdfdfe; --box: #f3f4f8 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e5e6ee; --soft: #9a9db0; --line: #343748; --ground: #14151c; --box: #1d1f2a }
}
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 68rem; background: var(--ground); color: var(--ink);
       font: 16px/1.55 system-ui, sans-serif }
h1, h2, h3, p { overflow-wrap: anywhere }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.5rem } h3 { font-size: 1rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem }
th, td { padding: .35rem .8rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap;
         vertical-align: top }
th { color: var(--soft); font-weight: 500 } th:first-child, td:first-child, .words { text-align: left }
.long { white-space: normal; overflow-wrap: anywhere; min-width: 14rem }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); gap: 1rem 2rem;
           margin: 1.5rem 0; align-items: end }
figure { margin: 0; color: var(--soft) } figcaption { font-size: .92rem }
svg { width: 100%; max-width: 42rem; height: auto }
pre { background: var(--box); padding: .8rem 1rem; border-radius: .5rem; overflow-x: auto; white-space: pre-wrap;
      overflow-wrap: anywhere; font-size: .85rem }
.soft { color: var(--soft) } details { margin: 1rem 0 }
@media (max-width: 40rem) {
  th, td { padding: .3rem .5rem }
  th:first-child, td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 6.5rem }
}
"""


@dataclass(frozen=True)
class Drawn:
    """One picture as it stands in the page: its words, and an inline <svg>."""

    title: str
    svg: str


def page(
    runs: Sequence[RunData],
    names: Sequence[str],
    together: Sequence[Drawn],
    each: Sequence[Drawn | None],
    notes: Sequence[str] = (),
    failed: Mapping[str, str] | None = None,
) -> str:
    """The whole document. `together` are the pictures of all runs, `each` one of each run where there are several.

    `notes` are sentences about what could not be shown; `failed` are runs with what they said as they failed.
    """  # fmt: skip
    one = len(runs) == 1
    title = names[0] if one else f"{len(runs)} runs compared"
    title += f", {len(failed)} failed" if failed else ""
    parts = [f"<h1>packtrain · {escape(title)}</h1>", *(f'<p class="soft">{escape(note)}</p>' for note in notes)]
    parts += [f"<p><strong>{escape(name)} failed:</strong> {escape(line)}</p>" for name, line in (failed or {}).items()]
    if one:
        parts += results(runs[0])
    else:
        parts.append(table(tables.COMPARISON_HEADERS, tables.comparison_rows(runs, names)))
    parts += gallery(together)
    parts += block("Energy and carbon", sections.energy(runs, names), words=(8,), after=sections.PAPER_FORMULA)
    if one:
        parts += details(runs[0])
    else:
        wide = range(1, 1 + len(runs))
        parts += block("Settings that differ", sections.differences(runs, names), words=wide)
        for run, name, drawn in zip(runs, names, each, strict=True):
            parts += [f"<h2>{escape(name)}</h2>", *results(run), *gallery([drawn] if drawn else []), *details(run)]
    parts += block("Exact versions", sections.versions(runs, names), words=range(1, 1 + len(runs)))
    return document(title, parts)


def document(title: str, parts: Iterable[str]) -> str:
    """The HTML document that holds `parts`, in the page's own style."""
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>packtrain · {escape(title)}</title>\n<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def results(run: RunData) -> list[str]:
    """What was trained and how well, and what is missing."""
    parts = [f'<p class="soft">{escape(sentence)}</p>' for sentence in run.missing]
    if lines := tables.summary_lines(run):
        parts.append(pairs(lines))
    if run.evaluation:
        parts += [
            "<h3>Held-out text, bits per byte beside two baselines</h3>",
            table(tables.EVALUATION_HEADERS, tables.evaluation_rows(run.evaluation), words=(7,)),
            '<p class="soft">unigram: entropy of the text’s own token frequencies; xz -9: the compressor on the same '
            "text. Lower is better.</p>",
        ]
    return parts


def details(run: RunData) -> list[str]:
    """What it read, where its loss leapt, what it writes, and how it was set up."""
    parts = block("The mixture it was trained on", sections.mixture(run), level=3)
    if run.spikes:
        parts.append(f"<h3>{len(run.spikes)} loss spike{'s' if len(run.spikes) > 1 else ''}</h3>")
    for spike in run.spikes:
        headers, rows = sections.spike_sequences(spike)
        batch = table(headers, rows, words=(1,), long=(3, 4)) if rows else ""
        inside = f"<summary>{escape(sections.spike_head(spike))}</summary>{pairs(sections.spike_lines(spike))}{batch}"
        parts.append(f"<details>{inside}</details>")
    if run.sample is not None:
        parts += ["<h3>A sample of generated text</h3>", f"<pre>{escape(run.sample)}</pre>"]
    settings = yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True)
    parts.append(f"<details><summary>The whole configuration</summary><pre>{escape(settings)}</pre></details>")
    parts.append(f"<h3>Curves</h3><pre>tensorboard --logdir {escape(quote(str(run.path)))}</pre>")
    return parts


def block(title: str, made: sections.Table, words: Iterable[int] = (), after: str = "", level: int = 2) -> list[str]:
    """A heading, a table and a sentence; nothing where the table has no rows."""
    headers, rows = made
    if not rows:
        return []
    sentence = [f'<p class="soft">{escape(after)}</p>'] if after else []
    return [f"<h{level}>{escape(title)}</h{level}>", table(headers, rows, words), *sentence]


def gallery(drawn: Sequence[Drawn]) -> list[str]:
    """Two beside each other where the screen is wide enough."""
    if not drawn:
        return []
    figures = "".join(f"<figure>{one.svg}<figcaption>{escape(one.title)}</figcaption></figure>" for one in drawn)
    return [f'<div class="gallery">{figures}</div>']


def pairs(lines: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f'<tr><td>{escape(k)}</td><td class="words long">{escape(v)}</td></tr>' for k, v in lines)
    return f'<div class="wide"><table>{rows}</table></div>'


def table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], words: Iterable[int] = (), long: Iterable[int] = ()
) -> str:
    """An HTML table that scrolls by itself on a narrow screen; columns in `words` are text, those in `long` are
    broken into lines.
    """
    kinds = {**dict.fromkeys(words, " class=words"), **dict.fromkeys(long, ' class="words long"')}

    def line(cells: Sequence[str], tag: str) -> str:
        made = (f"<{tag}{kinds.get(i, '')}>{escape(c)}</{tag}>" for i, c in enumerate(cells))
        return f"<tr>{''.join(made)}</tr>"

    return f'<div class="wide"><table>{line(headers, "th")}{"".join(line(row, "td") for row in rows)}</table></div>'
