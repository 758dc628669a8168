"""What a page tells of one run and of several: energy and its sum, differences, time, mixture, spikes, versions"""

from __future__ import annotations

import csv
import json
import re
import struct
from pathlib import Path

import pytest
import yaml
from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.summary.writer.record_writer import RecordWriter

from packtrain.errors import UserError
from packtrain.jobs.report import ReportJob, run
from packtrain.report.differences import chosen
from packtrain.report.event_files import read_scalars
from packtrain.report.figures import chart, dots, scale_of, smooth
from packtrain.report.pictures import time_parts
from packtrain.report.reading import read_run
from tests.browser import Browser

SHAPE = {"dim": 64, "n_layers": 2, "n_heads": 2, "vocab_size": 256}  # 131 392 parameters
STEPS = 50


def rows(speed: float = 1.0, steps: int = STEPS) -> list[dict[str, float]]:
    made = []
    for step in range(1, steps + 1):
        row = {
            "step": step,
            "tokens": step * 1000,
            "train/loss": 6 - 0.05 * step * speed,
            "train/lr": 1e-3,
            "train/grad_norm": 1,
        }
        row |= {
            "throughput/tokens_per_second": 100 + step,
            "carbon/energy_kwh": 0.001 * step,
            "carbon/co2eq_g": 0.385 * step,
        }
        row |= {"throughput/seconds/compute": 3.0, "throughput/seconds/data": 1.0}
        row |= {f"val/loss/{domain}": 6 - 0.04 * step for domain in ("wiki", "code")} if step % 10 == 0 else {}
        made.append(row)
    return made


def make_run(folder: Path, speed: float = 1.0, rate: float = 1e-3, finished: bool = True) -> Path:
    folder.mkdir(parents=True)
    settings = {"name": folder.name, "run_dir": str(folder), "model": SHAPE, "optim": {"learning_rate": rate}}
    settings["callbacks"] = {"carbon": {"pue": 1.1, "kg_co2_per_kwh": 0.385}}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    found = rows(speed)
    with (folder / "metrics.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(dict.fromkeys(key for row in found for key in row)), restval="")
        writer.writeheader()
        writer.writerows(found)
    domain = {
        "share": 0.5,
        "realised_tokens": 25_000,
        "target_tokens": 25_100,
        "realised_epochs": 2.45,
        "realised_bytes": 99_000,
    }
    (folder / "ledger.json").write_text(json.dumps({"tokens": 50_000, "domains": {"wiki": domain, "code": domain}}))
    start = {"started": "2026-11-21T12:00:00Z", "from_step": 0, "torch": "2.13.0", "commit": "0123abc-dirty"}
    (folder / "versions.json").write_text(
        json.dumps({"starts": [start, {**start, "from_step": 20, "torch": "2.14.0"}]})
    )
    if finished:
        summary = {"finished": True, "step": STEPS, "tokens": 50_000, "energy_kwh": 0.05, "co2eq_g": 19.25, "pue": 1.1,
                   "devices": 2, "kg_co2_per_kwh": 0.385, "energy_source": "rated", "wall_seconds": 1800,
                   "parameters": 131_392}  # fmt: skip
        (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def page_of(*folders: Path) -> str:
    output = folders[0].parent / "page.html"
    run(ReportJob(runs=tuple(map(str, folders)), output=str(output)))
    return output.read_text(encoding="utf-8")


def cells(html: str, first: str) -> list[str]:
    """The texts of the last table row that begins with `first`."""
    found = re.findall(rf"<tr><td[^>]*>{re.escape(first)}</td>(.*?)</tr>", html)
    assert found, f"no row {first}"
    return re.findall(r"<td[^>]*>(.*?)</td>", found[-1])


def test_the_energy_of_a_sweep_is_summed_by_the_paper_s_formula_and_a_run_that_goes_on_counts_so_far(
    tmp_path: Path,
) -> None:
    html = page_of(make_run(tmp_path / "a"), make_run(tmp_path / "b", 0.5, 3e-4, finished=False))
    energy = html[html.index("Energy and carbon") : html.index("Settings that differ")]
    # 0.05 kWh with PUE 1.1 on 50 000 tokens: 0.05 × 3.6e6 ÷ 1.1 ÷ 50 000 = 3.273 J/token
    assert cells(energy, "a") == ["50 000", "1", "3.273", "0.05", "19.25", "1.10", "0.385", "rated"]
    assert cells(energy, "b") == ["50 000", "–", "3.273", "0.05", "19.25", "1.10", "0.385", "so far"]
    assert cells(energy, "all")[:5] == ["100 000", "1", "3.273", "0.1", "38.5"]
    assert "section 6" in energy


def test_runs_are_told_apart_by_what_was_chosen_not_by_their_folders(tmp_path: Path) -> None:
    html = page_of(make_run(tmp_path / "a"), make_run(tmp_path / "b", rate=3e-4))
    differ = html[html.index("Settings that differ") : html.index("<h2>a</h2>")]
    assert cells(differ, "optim.learning_rate") == ["0.001", "0.0003"]
    assert "run_dir" not in differ
    assert chosen([{"name": "x", "a": {"b": 1}}, {"name": "y", "a": {}}]) == {"a.b": [1, None]}


def test_one_run_shows_its_mixture_its_versions_and_where_its_time_went(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "a")
    html = page_of(folder)
    assert cells(html, "wiki") == ["50.0 %", "25 000", "25 100", "2.45", "99 kB"]
    assert cells(html, "torch") == ["2.13.0, 2.14.0"], "a run that was continued with another version says both"
    assert cells(html, "commit") == ["0123abc-dirty"]
    assert time_parts(read_run(folder)) == {"compute": 150.0, "data": 50.0}, (
        "seconds a step, times the steps of the row"
    )
    figures = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert figures == {"loss", "learning_rate", "throughput", "energy", "time"}
    assert re.search(r">75 %</text>|75 %", html)


def test_a_spike_is_shown_and_a_broken_spike_file_is_a_sentence(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "a")
    (folder / "spikes").mkdir()
    documents = [{"document": 41, "tokens": 900, "text": "the <b> planted   document"}, {"document": 42, "tokens": 3}]
    bad = {"sample": 1234, "domain": "wiki", "epoch": 0, "loss": "nan", "documents": documents}
    spike = {"step": 30, "why": "the loss is no number", "action": "skip", "loss": 9.5, "samples": [960, 991],
             "gradient_norms": {"layers.0": 3.5, "output": 1.0}, "sequences": [bad]}  # fmt: skip
    (folder / "spikes" / "step-00000030.json").write_text(json.dumps(spike))
    (folder / "spikes" / "step-00000040.json").write_text("{")
    (folder / "spikes" / "step-00000041.json").write_text('{"step": 41, "sequences": 3}')
    html = page_of(folder)
    assert "1 loss spike<" in html and "step 30: the loss is no number; skip" in html
    assert cells(html, "gradient norms") == ["layers.0 3.5, output 1"] and cells(html, "samples") == ["960, 991"]
    assert cells(html, "1 234") == ["wiki", "nan", "the &lt;b&gt; planted document", "41, 42"]
    assert "step-00000040.json cannot be read" in html
    assert "step-00000041.json: sequences is 3, not a list; delete the file" in html


def write_events(path: Path, found: list[dict[str, float]]) -> None:
    with path.open("wb") as stream:
        writer = RecordWriter(stream)
        for row in found:
            for tag, value in row.items():
                event = Event(step=int(row["step"]))
                event.summary.value.add(tag=tag, simple_value=value)
                writer.write(event.SerializeToString())


def test_without_metrics_csv_the_curves_come_from_the_event_files(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "a")
    kept = read_run(folder).curve("train/loss")
    (folder / "metrics.csv").unlink()
    write_events(folder / "events.out.tfevents.1.x", rows())
    found = read_run(folder)
    assert [tokens for tokens, _ in found.curve("train/loss")] == [tokens for tokens, _ in kept]
    assert [loss for _, loss in found.curve("train/loss")] == pytest.approx([loss for _, loss in kept])
    assert "TensorBoard" in page_of(folder) and not any("no metrics.csv" in line for line in found.missing)


@pytest.mark.parametrize("broken", ["cut", "flipped", "foreign"])
def test_a_broken_event_file_is_read_as_far_as_it_goes_and_said_in_one_line(tmp_path: Path, broken: str) -> None:
    folder = make_run(tmp_path / "a")
    (folder / "metrics.csv").unlink()
    path = folder / "events.out.tfevents.1.x"
    write_events(path, rows())
    whole = path.read_bytes()
    third = len(whole) // 3
    path.write_bytes(
        {
            "cut": whole[:third],
            "flipped": whole[:third] + b"\xff" * 40 + whole[third + 40 :],
            "foreign": b"GIF89a" * 99,
        }[broken]
    )
    found, sentences = read_scalars(folder)
    assert len(sentences) == 1 and "events.out.tfevents.1.x breaks off" in sentences[0] and "\n" not in sentences[0]
    assert (len(found) in range(10, 20)) is (broken != "foreign")
    assert sentences[0] in page_of(folder).replace("&#x27;", "'")


def test_a_broken_event_file_beside_a_whole_metrics_csv_is_said_once_the_run_has_ended(tmp_path: Path) -> None:
    for name, finished in (("a", True), ("b", False)):
        folder = make_run(tmp_path / name, finished=finished)
        write_events(folder / "events.out.tfevents.1.x", rows())
        assert not any("damaged" in line for line in read_run(folder).missing)
        path = folder / "events.out.tfevents.1.x"
        path.write_bytes(path.read_bytes()[:-5])
        said = [line for line in read_run(folder).missing if "events.out.tfevents.1.x is damaged" in line]
        assert len(said) == finished, "the last record of a run that goes on may be half written"


def test_half_a_number_at_the_end_of_a_run_that_writes_is_not_drawn(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "a", finished=False)
    path = folder / "metrics.csv"
    path.write_bytes(path.read_bytes() + b"51,51000,3")  # of 3.45,…
    found = read_run(folder)
    assert found.curve("train/loss")[-1] == (50_000, 6 - 0.05 * 50)
    assert "training has not finished: step 50, 50,000 tokens so far" in found.missing


def test_a_diverged_loss_leaves_a_gap_not_a_traceback(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "a")
    path = folder / "metrics.csv"
    path.write_text(path.read_text().replace("5.5,", "nan,").replace("5.45,", "inf,"))
    assert "<svg" in page_of(folder)


def test_the_page_fits_a_desk_and_a_phone_light_and_dark_and_asks_for_nothing(tmp_path: Path) -> None:
    page_of(make_run(tmp_path / "a-run-with-a-rather-long-name=1"), make_run(tmp_path / "b", 0.5, 3e-4))
    grounds = set()
    with Browser() as page:
        for width, columns in ((1200, 2), (400, 1)):
            for dark in (False, True):
                page.look(width, 900, dark)
                page.open(tmp_path / "page.html")
                assert page.ask("document.documentElement.scrollWidth") == width, "nothing stands out to the right"
                page.ask("boxes = (what) => [...document.querySelectorAll(what)].map(e => e.getBoundingClientRect())")
                boxes = page.ask("boxes('svg').map(box => [box.left, box.right])")
                assert all(0 <= left < right <= width and right - left > 300 for left, right in boxes)
                assert len({round(left) for left, _ in boxes}) == columns
                letters = page.ask("Math.min(...boxes('svg text').map(box => box.height))")
                assert letters > 7, "pixels: still read on a phone"
                grounds.add(page.ask("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2
    assert {request.split(":")[0] for request in page.requests} == {"file"}


def test_a_legend_of_many_long_names_stands_below_the_axis_and_covers_nothing() -> None:
    curve = [(1e6, 3.0), (2e6, 2.0)]
    for panels in ({"": [f"a/rather=long,name={n}" for n in range(5)]}, {"x": ["a", "b", "c", "d"], "y": ["a", "e"]}):
        figure = chart({title: dict.fromkeys(labels, curve) for title, labels in panels.items()})
        figure.draw_without_rendering()
        (legend,) = figure.legends
        below = legend.get_window_extent()
        for axes in figure.axes:
            assert axes.xaxis.label.get_text() == "tokens (millions)"
            assert axes.xaxis.label.get_window_extent().y0 >= below.y1 and below.y0 >= 0
            assert axes.get_window_extent().height > 100


@pytest.mark.filterwarnings("error")
def test_names_of_many_settings_are_folded_and_stand_in_the_picture() -> None:
    long = ", ".join(f"model.switch_{n}=another" for n in range(6))
    beside = dots([("baseline", 3.0, 0.1), (long, 2.9, 0.1)], "val/loss")
    curve = [(1e6, 3.0), (2e6, 2.0)]
    below = chart({"": dict.fromkeys(("baseline", long, "c", "d"), curve)})
    for figure in (beside, below):
        figure.draw_without_rendering()
        (axes,) = figure.axes
        assert min(axes.get_window_extent().width, axes.get_window_extent().height) > 60
        names = [*axes.get_yticklabels(), *(text for legend in figure.legends for text in legend.get_texts())]
        assert any(long == " ".join(name.get_text().split()) for name in names)
        boxes = [name.get_window_extent() for name in names]
        assert all(box.x0 >= 0 and box.x1 <= figure.bbox.width for box in boxes)
    first, second = (name.get_window_extent() for name in beside.axes[0].get_yticklabels())
    assert first.y0 > second.y1, "the names do not touch"


def test_smoothing_keeps_the_ends_and_axes_count_in_words() -> None:
    assert smooth([(1, 4.0), (2, 2.0)], share=1.0) == [(1, 4.0), (2, 3.0)]
    assert scale_of(1.4e12) == (1e12, " (trillions)") and scale_of(999) == (1.0, "")


def test_a_record_longer_than_the_file_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "events.out.tfevents.1").write_bytes(struct.pack("<Q", 1 << 60) + b"\0" * 20)
    assert read_scalars(tmp_path)[0] == []
    with pytest.raises(UserError, match="is not a run folder"):
        read_run(tmp_path)


def test_every_one_of_many_curves_has_a_look_of_its_own() -> None:
    curves = {f"run {i}": [(0.0, float(i)), (1.0, float(i))] for i in range(28)}
    figure = chart({"": curves})
    lines = figure.axes[0].get_lines()
    looks = {(line.get_color(), line._unscaled_dash_pattern) for line in lines}
    assert len(lines) == len(looks) == 28
    legend = figure.legends[0].get_lines()
    assert {(line.get_color(), line._unscaled_dash_pattern) for line in legend} == looks
