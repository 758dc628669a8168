"""What a terminal and a log file show of a run: loss, speed, utilisation, watts, time left; and at the end a table"""

from __future__ import annotations

from pathlib import Path

import pytest

from packtrain.callbacks.meter import RunLog
from packtrain.callbacks.progress import Progress
from packtrain.cli import main


def test_the_numbers_of_the_last_row_stand_in_one_line() -> None:
    log = RunLog()
    log.row = {
        "train/loss": 2.5,
        "throughput/tokens_per_second": 12345.6,
        "throughput/mfu": 0.42,
        "carbon/power_watts": 690.4,
    }
    assert Progress(log)._numbers() == "loss 2.500, 12,346 tokens/s, MFU 42%, 690 W"
    log.row = {"train/loss": 2.5}
    assert Progress(log)._numbers() == "loss 2.500"


def test_without_a_terminal_plain_lines_are_written_and_a_table_at_the_end(train) -> None:
    outcome = train()
    line = outcome.err.splitlines()[-1]
    assert line.startswith("train step 20/20 loss ") and " tokens/s, MFU " in line and " W, left 0:00" in line
    assert "\r" not in outcome.err and "\x1b" not in outcome.err
    table = outcome.out[outcome.out.index("is finished") :]
    for what in ("model  ", "trained  ", "speed  ", "energy  ", "where time", "goodput"):
        assert what in table, what


def test_quiet_leaves_the_last_line_alone(
    train, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = train("--quiet")
    assert outcome.err == "" and len(outcome.out.splitlines()) == 1 and "is finished: 20 steps" in outcome.out
    monkeypatch.chdir(tmp_path)
    Path("mine.txt").write_text(
        "".join(f"Llama number {n} carries {n * n} tokens over the pass.\n" for n in range(900))
    )
    own = ("data=text", "input=mine.txt", "data.vocab_size=300", "data.sequence_length=32", "data.batch_tokens=64")
    small = ("data.tokens=128", "model=1m", "optim.warmup_steps=1", "name=own", "~callbacks.domain_loss")
    assert main(["train", "--quiet", *own, *small]) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 1 and printed.err == "", "its own text is prepared in silence"
    assert main(["runs", "--quiet"]) == 2
    assert "packtrain runs has no such choice" in capsys.readouterr().err
