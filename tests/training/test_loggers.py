"""metrics.csv and event files after a kill: rewound to the checkpoint, cut-off tails dropped, each step once"""

from __future__ import annotations

from pathlib import Path

from packtrain.training.events import read_events
from packtrain.training.loggers import CsvLogger, TensorBoardLogger


def test_a_new_column_joins_late_and_earlier_rows_stay(tmp_path: Path) -> None:
    logger = CsvLogger(str(tmp_path))
    logger.log_metrics({"tokens": 10, "train/loss": 0.1}, step=1)
    logger.log_metrics({"tokens": 20, "train/loss": 0.2, "val/loss": 0.3}, step=2)
    logger.log_metrics({"tokens": 30, "train/loss": 0.4}, step=3)
    assert (tmp_path / "metrics.csv").read_text().splitlines() == [
        "step,tokens,train/loss,val/loss", "1,10,0.1,", "2,20,0.2,0.3", "3,30,0.4,",
    ]  # fmt: skip


def test_rewinding_drops_later_rows_and_a_line_that_a_kill_cut_short(tmp_path: Path) -> None:
    logger = CsvLogger(str(tmp_path))
    for step in range(1, 6):
        logger.log_metrics({"tokens": 10 * step, "train/loss": 1 / step}, step=step)
    path = tmp_path / "metrics.csv"
    path.write_text(path.read_text() + "6,6")
    again = CsvLogger(str(tmp_path))
    again.rewind(3)
    again.log_metrics({"tokens": 40, "train/loss": 0.5}, step=4)
    assert [line.split(",")[0] for line in path.read_text().splitlines()] == ["step", "1", "2", "3", "4"]


def events(folder: Path) -> list[tuple[str, int]]:
    files = sorted(folder.glob("events.out.tfevents.*"))
    return sorted((v.tag, e.step) for file in files for e in read_events(file) for v in e.summary.value)


def test_event_files_of_several_processes_become_one_without_superseded_steps(tmp_path: Path) -> None:
    for first in (1, 3):  # the second process repeats steps 3 and 4, as after a kill without a rewind
        logger = TensorBoardLogger(str(tmp_path))
        for step in range(first, first + 4):
            logger.log_metrics({"tokens": 10 * step, "train/loss": 1.0}, step=step)
        logger.experiment.close()
    files = sorted(tmp_path.glob("events.out.tfevents.*"))
    files[-1].write_bytes(files[-1].read_bytes()[:-7])  # cut in the middle of the last record
    logger = TensorBoardLogger(str(tmp_path))
    logger.rewind(4)
    found = events(tmp_path)
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 1 and not (tmp_path / "rewound.tmp").exists()
    assert found == sorted(
        [(tag, step) for tag in ("tokens", "train/loss") for step in (1, 2, 3, 4)]
        + [("train/loss_vs_tokens", tokens) for tokens in (10, 20, 30, 40)]
    )


def test_rewinding_to_the_start_empties_and_an_empty_folder_is_left_alone(tmp_path: Path) -> None:
    TensorBoardLogger(str(tmp_path)).rewind(0)
    CsvLogger(str(tmp_path)).rewind(0)
    assert list(tmp_path.iterdir()) == []
    logger = TensorBoardLogger(str(tmp_path))
    logger.log_metrics({"tokens": 10, "train/loss": 1.0}, step=1)
    logger.experiment.close()
    logger.rewind(0)
    assert events(tmp_path) == []
