"""runs → one HTML page that stands alone: style, tables and figures inside, nothing fetched, light and dark"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import yaml

from packtrain.report import tables
from packtrain.report.reading import RunData

STYLE = """
:root { color-scheme: light dark; --ink: #1d1f27; --soft: #6a6d7c; --line: #d9dae2; --ground: #fdfdfe; --box: #f3f4f8 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e5e6ee; --soft: #9a9db0; --line: #343748; --ground: #14151c; --box: #1d1f2a }
}
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 56rem; background: var(--ground); color: var(--ink);
       font: 16px/1.55 system-ui, sans-serif }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.5rem } h3 { font-size: 1rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem }
th, td { padding: .35rem .8rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th { color: var(--soft); font-weight: 500 } th:first-child, td:first-child, .words { text-align: left }
figure { margin: 1rem 0; color: var(--soft) } svg { max-width: 100%; height: auto }
pre { background: var(--box); padding: .8rem 1rem; border-radius: .5rem; overflow-x: auto; white-space: pre-wrap;
      overflow-wrap: anywhere; font-size: .85rem }
.soft { color: var(--soft) } details { margin: 1rem 0 }
"""


def page(runs: Sequence[RunData], figures: Sequence[str], notes: Sequence[str] = ()) -> str:
    """The whole document. `figures` are inline <svg> elements, one for each run (or '' where there is none), and with
    several runs one more, first, that compares them. `notes` are sentences about what could not be shown.
    """
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs compared"
    together, each = (figures[: -len(runs)], figures[-len(runs) :]) if figures else ((), [""] * len(runs))
    parts = [f"<h1>packtrain · {escape(title)}</h1>", *(f'<p class="soft">{escape(note)}</p>' for note in notes)]
    if len(runs) > 1:
        parts += [
            table(tables.COMPARISON_HEADERS, tables.comparison_rows(runs)),
            *(part for drawn in together for part in figure(drawn)),
        ]
    for run, drawn in zip(runs, each, strict=True):
        parts += run_section(run, drawn, heading=len(runs) > 1)
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>packtrain · {escape(title)}</title>\n<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def run_section(run: RunData, drawn: str, heading: bool) -> list[str]:
    """What was trained, how well, at what cost, and what it writes."""
    parts = [f"<h2>{escape(run.name)}</h2>"] if heading else []
    parts += [f'<p class="soft">{escape(sentence)}</p>' for sentence in run.missing]
    if lines := tables.summary_lines(run):
        rows = "".join(f'<tr><td>{escape(k)}</td><td class="words">{escape(v)}</td></tr>' for k, v in lines)
        parts.append(f'<div class="wide"><table>{rows}</table></div>')
    if run.evaluation:
        parts += [
            "<h3>Held-out text, bits per byte beside two baselines</h3>",
            table(tables.EVALUATION_HEADERS, tables.evaluation_rows(run.evaluation), words=(7,)),
            '<p class="soft">unigram: entropy of the text’s own token frequencies; xz -9: the compressor on the same '
            "text. Lower is better.</p>",
        ]
    parts += figure(drawn)
    if run.sample is not None:
        parts += ["<h3>A sample of generated text</h3>", f"<pre>{escape(run.sample)}</pre>"]
    settings = yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True)
    parts.append(f"<details><summary>The whole configuration</summary><pre>{escape(settings)}</pre></details>")
    parts.append(f"<h3>Curves</h3><pre>tensorboard --logdir {escape(str(run.path))}</pre>")
    return parts


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[int] = ()) -> str:
    """An HTML table that scrolls by itself on a narrow screen; the columns numbered in `words` are text."""

    def line(cells: Sequence[str], tag: str) -> str:
        made = (f"<{tag}{' class=words' if i in words else ''}>{escape(c)}</{tag}>" for i, c in enumerate(cells))
        return f"<tr>{''.join(made)}</tr>"

    return f'<div class="wide"><table>{line(headers, "th")}{"".join(line(row, "td") for row in rows)}</table></div>'


def figure(drawn: str) -> list[str]:
    return [f"<figure>{drawn}<figcaption>Loss against tokens</figcaption></figure>"] if drawn else []
