"""A run that is still writing: each command that reads it takes what is whole, or says in one line to wait"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from lightning.pytorch import Callback

from packtrain.cli import main
from packtrain.report.reading import read_run

ASKED: list[tuple[int, str]] = []  # exit code and what was said, of each command


class Look(Callback):
    """Has every command that reads runs look at this one after step `step`, from inside the training process."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer, module, *_) -> None:
        if trainer.global_step != self.step:
            return
        run_dir = Path(module.run_dir)
        with (run_dir / "metrics.csv").open("a") as stream:
            stream.write("11,2816,4.")  # half a line, as a reader may meet it
        newest = max(run_dir.glob("events.out.*"))
        with newest.open("ab") as stream:
            stream.write(b"\x18\0\0")  # and the beginning of a record
        here = (f"runs_dir={run_dir.parent}", f"runs={run_dir.name}")
        for words in (
            ("report", *here), ("runs", here[0]), ("jobs", here[0]),
            ("plan", "carbon", *here), ("plan", "calibrate", *here), ("plan", "fit", *here),
        ):  # fmt: skip
            out = io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                ASKED.append((main(list(words)), out.getvalue()))
        for path, size in ((run_dir / "metrics.csv", 10), (newest, 3)):
            with path.open("r+b") as stream:
                stream.truncate(path.stat().st_size - size)


def test_a_run_that_is_still_writing_is_read_as_far_as_it_is(train) -> None:
    ASKED.clear()
    outcome = train("+callbacks.look._target_=tests.report.test_live_run.Look", "+callbacks.look.step=10")
    assert outcome.code == 0, outcome.err
    (report, runs, jobs, *plans) = ASKED
    assert report[0] == 0 and "training has not finished: step 10, 2,560 tokens so far" in report[1]
    page = (outcome.run_dir / "report.html").read_text()
    assert "training has not finished: step 10" in page and page.count("<svg") >= 4
    assert runs[0] == 0 and " stopped " in runs[1] and " 10 " in runs[1]
    assert jobs[0] == 0 and " running " in jobs[1] and " 10/20 " in jobs[1]
    for code, said in plans:
        assert code == 2 and said.count("\n") == 1 and "has not finished training" in said and "wait for it" in said
    assert len(read_run(outcome.run_dir).metrics) == 20, "and the run goes on as if nobody had looked"


def test_an_event_file_alone_that_is_being_written_is_drawn_up_to_its_last_whole_record(train) -> None:
    outcome = train()
    (outcome.run_dir / "metrics.csv").unlink()
    (outcome.run_dir / "summary.json").unlink()
    (events,) = outcome.run_dir.glob("events.out.*")
    data = events.read_bytes()
    steps = []
    for share in (0.3, 0.6, 1.0):
        events.write_bytes(data[: int(share * len(data))])
        assert main(["report", f"runs={outcome.run_dir}"]) == 0
        steps.append(read_run(outcome.run_dir).last("step") or 0)
    assert 0 < steps[0] < steps[1] < steps[2] == 20
