"""packtrain report: run folders → the short summary on the screen, loss.png, report.html; or documents → one page"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packtrain.errors import UserError
from packtrain.report import data_page, data_reading, figures, tables
from packtrain.report.page import page
from packtrain.report.reading import RunData, find_runs, known_runs, read_run

SAMPLE_LINES = 12
DOCUMENTS = "data/documents"  # where prepare writes unless told otherwise


@dataclass(frozen=True)
class ReportJob:
    """runs: a name under `runs_dir`, a path, or a list of them.

    documents: folders that `prepare` made, or that hold such.
    action: data is the page on documents, by default those in data/documents.

    output: the page (default: report.html in the folder).
    """

    runs: str | tuple[str, ...] | None = None
    documents: str | tuple[str, ...] | None = None
    action: Literal["runs", "data"] | None = None
    runs_dir: str = "runs"
    output: str | None = None


def run(job: ReportJob) -> None:
    """Prints the summary and writes the page and the figure. Raises `UserError` for a folder that is no run."""
    names = (job.runs,) if isinstance(job.runs, str) else job.runs
    if job.documents or job.action == "data":
        if names or job.action == "runs":
            raise UserError("report: give runs=… or documents=…, not both")
        folders = job.documents or DOCUMENTS
        return about_documents((folders,) if isinstance(folders, str) else folders, job.output)
    if not names:
        known = known_runs(Path(job.runs_dir))
        raise UserError(f"which run? give runs=NAME; known: {', '.join(known) or f'none in {job.runs_dir} yet'}")
    runs = [read_run(path) for path in find_runs(names, job.runs_dir)]
    folder = runs[0].path if len(runs) == 1 else Path(job.runs_dir)
    output = Path(job.output) if job.output else folder / "report.html"
    drawn, notes = draw(runs, output.parent / "loss.png")
    write(output, page(runs, drawn, notes))
    for one in runs:
        print("\n".join(summary(one)) + "\n")
    if len(runs) > 1:
        print(tables.comparison_table(runs) + "\n")
    for note in notes:
        print(note)
    print(f"page        {output}")


def about_documents(folders: Sequence[str], output: str | None) -> None:
    """The page about prepared documents."""
    path = Path(output) if output else Path(folders[0]) / "report.html"
    reports = data_reading.find(folders)
    write(path, data_page.page(reports))
    for folder, report in reports:
        print(f"{report['domain']:<15} {report['kept']:,} of {report['read']:,} documents kept, {folder}")
    print(f"page        {path}")


def draw(runs: Sequence[RunData], png: Path) -> tuple[list[str], list[str]]:
    """The page's figures as SVG, and sentences about those that could not be drawn; the first is kept as `png` too."""
    wanted = [*([runs] if len(runs) > 1 else []), *([one] for one in runs)]
    try:
        made = [figures.loss_figure(group) for group in wanted]
    except UserError as error:  # a report without matplotlib is still a report
        return [], [str(error)]
    png.parent.mkdir(parents=True, exist_ok=True)
    if made[0] is not None:
        figures.save_png(made[0], png)
    return [figures.inline_svg(figure) if figure is not None else "" for figure in made], []


def summary(one: RunData) -> list[str]:
    """The short summary of one run, as it stands at the end of the quickstart."""
    lines = [f"══ {one.path} " + "═" * max(0, 88 - len(str(one.path)))]
    if one.evaluation:
        lines += ["", tables.evaluation_table(one.evaluation), ""]
        lines += ["bits/byte: lower is better; unigram and xz -9 were measured on the same held-out text", ""]
    lines += [f"{what:<11} {figure}" for what, figure in tables.summary_lines(one)]
    if one.sample:
        first = one.sample.strip().splitlines()
        lines += ["", "sample", *(f"  │ {line}" for line in first[:SAMPLE_LINES])]
        lines += ["  │ …"] if len(first) > SAMPLE_LINES else []
    lines += ["", *one.missing] if one.missing else [""]
    return [*lines, f"everything  {one.path}", f"curves      tensorboard --logdir {one.path}"]


def write(path: Path, text: str) -> None:
    """Published by rename: a reader never sees half a page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
