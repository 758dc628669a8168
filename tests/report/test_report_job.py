"""A run folder becomes a summary, a picture and a page that stands alone; a broken one, one line."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from packtrain.errors import UserError
from packtrain.jobs.report import ReportJob, run
from packtrain.report.failures import note_member


def report(runs_dir: Path, *names: str) -> str:
    run(ReportJob(runs=names, runs_dir=str(runs_dir)))
    where = runs_dir / names[0] if len(names) == 1 else runs_dir
    return (where / "report.html").read_text(encoding="utf-8")


class Checker(HTMLParser):
    """Collects what a browser would load, and whether tags are balanced."""

    VOID = ("meta", "br", "link", "img", "hr", "input")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.loads += [tag] if tag in ("script", "link", "iframe", "img", "image") else []
        self.loads += [
            v or "" for k, v in attrs if k in ("src", "href", "xlink:href") and not (v or "").startswith("#")
        ]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_loads_nothing_from_anywhere(runs_dir: Path) -> None:
    html = report(runs_dir, "quickstart")
    checker = Checker()
    checker.feed(html)
    assert checker.loads == [] and checker.open == []
    assert not re.search(r"(url\(|@import)\s*['\"]?(?!#)", html)
    assert not re.sub(r'xmlns(:\w+)?="[^"]*"', "", html).count("http")


def test_the_page_adapts_to_dark_screens_and_to_phones(runs_dir: Path) -> None:
    html = report(runs_dir, "quickstart")
    assert "prefers-color-scheme: dark" in html and 'name="viewport"' in html
    assert "<svg" in html and "currentColor" in html


def test_the_figures_appear_on_the_page_and_on_the_screen(runs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    html = report(runs_dir, "quickstart")
    screen = capsys.readouterr().out
    for text in (html, screen):
        for expected in (
            "1.320", "1.200", "3.000", "1.500", "8.2", "25 310 tokens/s", "MFU 41.2 % (6N, peak measured)",
            "0.0053 kWh, 2.04 gCO2eq (rated)", "1 966 080 tokens in 120 steps", "-60 %", "beats both, xz by 20 %",
            "xz is still better, by 17 %", f"tensorboard --logdir {runs_dir / 'quickstart'}",
        ):  # fmt: skip
            assert expected in text
    assert "def main(self) -> None:" in screen
    assert "return &lt;self&gt; &amp; &#x27;x&#x27;" in html
    assert (runs_dir / "quickstart" / "figures" / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_run_gives_the_same_bytes(runs_dir: Path) -> None:
    png = runs_dir / "quickstart" / "figures" / "loss.png"
    first = report(runs_dir, "quickstart"), png.read_bytes()
    assert (report(runs_dir, "quickstart"), png.read_bytes()) == first


def test_missing_pieces_are_said_with_the_command_that_makes_them(
    runs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    html = report(runs_dir, "young")
    for text in (html, capsys.readouterr().out):
        assert "training has not finished" in text
        assert f"packtrain evaluate checkpoint={runs_dir / 'young'}" in text


def test_figures_of_an_earlier_step_are_said(runs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = runs_dir / "quickstart" / "evaluation.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "step": 60}))
    html = report(runs_dir, "quickstart")
    for text in (html, capsys.readouterr().out):
        assert "the held-out figures are those of step 60, training ended at step 120" in text


def test_unknown_mfu_is_said_not_guessed(runs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = runs_dir / "quickstart" / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "mfu": None}))
    report(runs_dir, "quickstart")
    assert "MFU unknown (no peak FLOP/s is known for this machine)" in capsys.readouterr().out
    path.write_text(json.dumps({**json.loads(path.read_text()), "mfu": 1.19}))
    report(runs_dir, "quickstart")
    assert "MFU unknown (faster than the peak that was measured" in capsys.readouterr().out


def test_several_runs_are_compared_on_one_page(runs_dir: Path, add_run: Callable[[Path], Path]) -> None:
    add_run(runs_dir / "other")
    html = report(runs_dir, "quickstart", "other")
    assert "2 runs compared" in html
    assert html.count("<svg") == 3 + 2, "losses, domains, FLOPs of both; and each one's own"
    assert {path.name for path in (runs_dir / "figures").iterdir()} == {"loss.png", "domains.png", "flops.png"}


def test_the_folder_of_a_sweep_stands_for_its_members(runs_dir: Path, add_run: Callable[[Path], Path]) -> None:
    add_run(runs_dir / "sweep" / "model=1m")
    add_run(runs_dir / "sweep" / "model=5m")
    run(ReportJob(runs="sweep", runs_dir=str(runs_dir)))
    html = (runs_dir / "sweep" / "report.html").read_text()
    assert "model=1m" in html and "model=5m" in html


def test_a_sweep_with_members_that_failed_is_reported_with_what_they_said(
    runs_dir: Path, add_run: Callable[[Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for member in ("model=1m", "model=5m", "model=15m"):
        add_run(runs_dir / "sizes" / member)
    (runs_dir / "sizes" / "model=5m" / "summary.json").write_text("{")
    note_member(runs_dir / "sizes" / "model=65b", 2, "more <b>memory</b> than there is")
    html = report(runs_dir, "sizes")
    assert "2 runs compared, 2 failed" in html and "<strong>model=65b failed:</strong> more &lt;b&gt;memory" in html
    assert "<strong>model=5m failed:</strong>" in html and "summary.json cannot be read" in html
    assert "model=65b failed: more <b>memory</b> than there is" in capsys.readouterr().out
    note_member(runs_dir / "sizes" / "model=65b", 0)
    assert not (runs_dir / "sizes" / "failures.json").exists(), "it has succeeded since"
    assert "1 failed" in report(runs_dir, "sizes")
    note_member(runs_dir / "none" / "model=65b", 2, "more memory than there is")
    with pytest.raises(UserError, match="none of its members has begun; model=65b said: more memory"):
        report(runs_dir, "none")


@pytest.mark.parametrize("name", ["quickstrat", "nowhere/at/all", "../elsewhere"])
def test_a_missing_run_is_one_line(runs_dir: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"no run .* known: quickstart, young") as error:
        report(runs_dir, name)
    assert "\n" not in str(error.value)
    assert ("did you mean 'quickstart'" in str(error.value)) is (name == "quickstrat")


def test_a_foreign_folder_is_one_line(runs_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    with pytest.raises(UserError, match="holiday is not a run folder"):
        report(runs_dir, str(tmp_path / "holiday"))
    assert list((tmp_path / "holiday").iterdir()) == []
    with pytest.raises(UserError, match="holiday is a folder: give the page's name in it"):
        run(ReportJob(runs="quickstart", runs_dir=str(runs_dir), output=str(tmp_path / "holiday")))
    assert list(tmp_path.glob("holiday*")) == [tmp_path / "holiday"]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("summary.json", "{"),
        ("summary.json", '{"finished": true, "energy_kwh": "much"}'),
        ("summary.json", '{"seconds": {"data": []}}'),
        ("evaluation.json", "[1]"),
        ("evaluation.json", '{"domains": {"a": 3}}'),
        ("versions.json", '{"starts": 3}'),
        ("ledger.json", '{"domains": 1}'),
        ("config.yaml", "a: [b"),
        ("config.yaml", "just words"),
        ("config.yaml", "model: 7b"),
    ],
)
def test_a_broken_file_of_a_run_is_one_line_that_names_it(runs_dir: Path, file: str, content: str) -> None:
    (runs_dir / "quickstart" / file).write_text(content)
    with pytest.raises(UserError, match=file) as error:
        report(runs_dir, "quickstart")
    assert "\n" not in str(error.value)


def test_a_metrics_file_cut_in_the_middle_of_a_row_still_reports(runs_dir: Path) -> None:
    metrics = runs_dir / "quickstart" / "metrics.csv"
    metrics.write_text(metrics.read_text()[:-9])
    assert "<svg" in report(runs_dir, "quickstart")


def test_no_run_named_says_which_there_are(runs_dir: Path) -> None:
    with pytest.raises(UserError, match="give runs=NAME; known: quickstart, young"):
        run(ReportJob(runs_dir=str(runs_dir)))


def test_the_report_reads_runs_without_torch_and_works_without_matplotlib(runs_dir: Path) -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from packtrain.jobs.report import ReportJob, run\n"
        f"run(ReportJob(runs='quickstart', runs_dir={str(runs_dir)!r}))\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "pip install 'packtrain[report]'" in done.stdout
    assert (runs_dir / "quickstart" / "report.html").is_file()
