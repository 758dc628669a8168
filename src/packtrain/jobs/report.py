"""packtrain report: run folders → a summary on the screen, report.html, figures/*.png; or documents → one page"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packtrain.errors import UserError
from packtrain.report import data_page, data_reading, tables
from packtrain.report.answer_page import answer_page, answer_pictures, word_columns
from packtrain.report.comparison import compare
from packtrain.report.failures import read_failures
from packtrain.report.figures import inline_svg, save_png
from packtrain.report.page import Drawn, page
from packtrain.report.pictures import Picture, loss_picture, pictures
from packtrain.report.reading import RunData, find_runs, known_runs, read_run
from packtrain.report.series import Series, series

SAMPLE_LINES = 12
FIGURES = "figures"  # the folder of pictures beside the page
DOCUMENTS = "data/documents"  # where prepare writes unless told otherwise


@dataclass(frozen=True)
class ReportJob:
    """runs: a name under `runs_dir`, a path, or a list of them.

    documents: folders that `prepare` made, or that hold such.
    action: data is the page on documents, by default those in data/documents.

    question: what the runs are to answer, with compare or measure: the page is then a comparison of groups of runs.
    compare: settings in which the groups differ, seeds pooled; None: all that differ.
    measure: columns of metrics.csv, the first of which is ranked by; None: bits a byte, else the held-out loss.
    along: a comparison at each value of this setting, or `measure`: by each of them.
    reference: the group that the others are compared with, as the page calls it; None: the baseline, else the best.

    output: the page (default: report.html in the run's folder, of several in the folder that holds them); the pictures
    lie beside it in figures/.
    """

    runs: str | tuple[str, ...] | None = None
    documents: str | tuple[str, ...] | None = None
    action: Literal["runs", "data"] | None = None
    runs_dir: str = "runs"
    question: str | None = None
    compare: str | tuple[str, ...] | None = None
    measure: str | tuple[str, ...] | None = None
    along: str | None = None
    reference: str | None = None
    output: str | None = None


def run(job: ReportJob) -> None:
    """Prints the summary and writes the page and the figure. Raises `UserError` for a folder that is no run."""
    names = _listed(job.runs)
    if job.documents or job.action == "data":
        if names or job.action == "runs":
            raise UserError("report: give runs=… or documents=…, not both")
        folders = job.documents or DOCUMENTS
        return about_documents(_listed(folders), job.output)
    if not names:
        known = known_runs(Path(job.runs_dir))
        raise UserError(f"which run? give runs=NAME; known: {', '.join(known) or f'none in {job.runs_dir} yet'}")
    paths = find_runs(names, job.runs_dir)
    folder = paths[0] if len(paths) == 1 else common_folder(paths, Path(job.runs_dir))
    runs, failed = read_all(paths, folder, [root / name for name in names for root in (Path(), Path(job.runs_dir))])
    output = Path(job.output) if job.output else folder / "report.html"
    if output.is_dir():
        raise UserError(f"output={output} is a folder: give the page's name in it, output={output / 'report.html'}")
    called = [one.name if len(paths) == 1 else display_name(one.path, folder) for one in runs]
    if job.question is not None or job.compare or job.measure or job.along or job.reference:
        return answer(job, runs, called, failed, output)
    together, each, notes = draw(runs, called, output.parent / FIGURES)
    write(output, page(runs, called, together, each, notes, failed))
    for one in runs:
        print("\n".join(summary(one)) + "\n")
    if len(runs) > 1:
        print(tables.comparison_table(runs, called) + "\n")
    say_rest(failed, notes, together, output)


def answer(job: ReportJob, runs: Sequence[RunData], names: Sequence[str], failed: dict[str, str], output: Path) -> None:
    """The page that answers `question` by comparing groups of runs; its first sentence and ranking on the screen."""
    keys, measures = _listed(job.compare), _listed(job.measure)
    if len(runs) == 1 and failed:
        name, line = next(iter(failed.items()))
        raise UserError(
            f"a question is answered by comparing runs, and {names[0]} is alone: {Path(name).name} failed: {line}"
        )
    if job.along:
        found = series(runs, job.along, keys, measures, job.reference)
    else:
        found = compare(runs, keys, measures, job.reference)
    sentence = found.sentence(job.question or "")
    drawn, notes = save(lambda: answer_pictures(found), output.parent / FIGURES)
    notes += found.left_out if isinstance(found, Series) else ()
    write(output, answer_page(sentence, found, runs, names, drawn, notes, failed))
    headers, rows = found.rows()
    print(f"{sentence}\n\n{tables.text_table(headers, rows, left=(0, *word_columns(found)))}\n")
    say_rest(failed, notes, drawn, output)


def say_rest(failed: Mapping[str, str], notes: Sequence[str], drawn: Sequence[Drawn], output: Path) -> None:
    for name, line in failed.items():
        print(f"{name} failed: {line}")
    for note in notes:
        print(note)
    if drawn:
        print(f"pictures    {output.parent / FIGURES}")
    print(f"page        {output}")


def _listed(given: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else given or ()


def read_all(paths: Sequence[Path], folder: Path, sweeps: Sequence[Path]) -> tuple[list[RunData], dict[str, str]]:
    """The runs that can be read, and those that failed with what they said: of `sweeps` the members that never had a
    folder, too. Raises the first's `UserError` where none can be read.
    """
    runs, failed = [], {}
    for path in paths:
        try:
            runs.append(read_run(path))
        except UserError as error:
            if len(paths) == 1:
                raise
            failed[display_name(path, folder)] = str(error)
    if not runs:
        raise UserError(next(iter(failed.values())))
    for sweep in sweeps:
        for name, line in read_failures(sweep).items():
            failed.setdefault(display_name(sweep / name, folder), line)
    return runs, failed


def common_folder(paths: Sequence[Path], runs_dir: Path) -> Path:
    """The folder of a sweep where all are its members, else `runs_dir`."""
    return paths[0].parent if len({path.parent.resolve() for path in paths}) == 1 else runs_dir


def display_name(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def about_documents(folders: Sequence[str], output: str | None) -> None:
    """The page about prepared documents."""
    path = Path(output) if output else Path(folders[0]) / "report.html"
    reports = data_reading.find(folders)
    write(path, data_page.page(reports))
    for folder, report in reports:
        print(f"{report['domain']:<15} {report['kept']:,} of {report['read']:,} documents kept, {folder}")
    print(f"page        {path}")


def draw(
    runs: Sequence[RunData], names: Sequence[str], folder: Path
) -> tuple[list[Drawn], list[Drawn | None], list[str]]:
    """The pictures of all runs, kept in `folder` too; with several runs each one's losses; sentences on what failed."""
    found, notes = save(lambda: pictures(runs, names), folder)
    own = [loss_picture(one) for one in runs] if len(runs) > 1 and not notes else []
    each = [Drawn(p.title, inline_svg(p.figure, f"{p.title} {n}")) if p.figure else None for n, p in enumerate(own)]
    return found, each or [None] * len(runs), notes


def save(made: Callable[[], list[Picture]], folder: Path) -> tuple[list[Drawn], list[str]]:
    """Pictures, kept in `folder` too; or a sentence on why there are none."""
    try:
        found = made()
    except UserError as error:  # a report without matplotlib is still a report
        return [], [str(error)]
    for picture in found:
        folder.mkdir(parents=True, exist_ok=True)
        save_png(picture.figure, folder / f"{picture.name}.png")
    return [Drawn(p.title, inline_svg(p.figure, p.title)) for p in found], []


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
