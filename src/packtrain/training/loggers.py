"""a row of numbers → metrics.csv and TensorBoard; a resume rewinds both to its checkpoint, so each step stands once"""

from __future__ import annotations

import csv
import os
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from lightning.pytorch.loggers import Logger
from lightning.pytorch.loggers import TensorBoardLogger as LightningTensorBoard

from packtrain.training import dashboard


@runtime_checkable
class Finishing(Protocol):
    """A logger that wants to be told when a run has trained to its end."""

    def finish(self) -> None: ...


@runtime_checkable
class Rewindable(Protocol):
    """A logger that can forget what came after a step and can be asked to have everything on disk."""

    def rewind(self, step: int) -> None: ...

    def flush(self) -> None: ...


class CsvLogger(Logger):
    """`metrics.csv`: one row a logged step: `step`, `tokens`, `train/loss`, …; an empty cell was not measured then."""

    def __init__(self, run_dir: str, file_name: str = "metrics.csv") -> None:
        super().__init__()
        self.path = Path(run_dir) / file_name
        self._columns: list[str] = []
        if self.path.exists():
            self._columns = _read(self.path)[0]

    @property
    def name(self) -> str:
        return self.path.parent.name

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """The configuration is config.yaml's business."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        row = {"step": str(step), **{key: repr(value) for key, value in metrics.items()}}
        new = [key for key in row if key not in self._columns]
        if new:
            rows = _read(self.path)[1] if self.path.exists() else []
            self._columns += new
            self._rewrite(rows)
        with self.path.open("a", newline="") as stream:
            csv.DictWriter(stream, self._columns, restval="").writerow(row)

    def flush(self) -> None:
        if self.path.exists():
            with self.path.open("rb") as stream:
                os.fsync(stream.fileno())

    def rewind(self, step: int) -> None:
        """Drop rows after `step`, and a last line that a kill cut short."""
        if self.path.exists():
            rows = _read(self.path)[1]
            self._rewrite([row for row in rows if _is_whole(row, self._columns) and int(row["step"]) <= step])

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".csv.tmp")
        with temporary.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, self._columns, restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(self.path)


class TensorBoardLogger(LightningTensorBoard):
    """Events straight in the run folder; what is charted stands against steps and, as `…_vs_tokens`, against tokens.

    With a run's configuration come its row of the HPARAMS table and the layout of the CUSTOM SCALARS page.
    """

    VS_TOKENS = ("train/", "val/loss", "tasks/", "throughput/", "carbon/")

    def __init__(self, run_dir: str, **kwargs: Any) -> None:
        super().__init__(save_dir=run_dir, name="", version="", default_hp_metric=False, **kwargs)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        super().log_metrics(dict(metrics), step)
        for key, value in metrics.items():
            if key.startswith(self.VS_TOKENS) and "tokens" in metrics:
                self.experiment.add_scalar(f"{key}{dashboard.VS_TOKENS}", value, int(metrics["tokens"]))

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """`params` is the configuration, as config.yaml holds it."""
        config = params if isinstance(params, dict) else vars(params)
        downstream = (config.get("callbacks") or {}).get("downstream") or {}
        domains = (config.get("data") or {}).get("weights") or ()
        layout = dashboard.layout_summary(domains, scores=bool(downstream.get("tasks")))
        for summary in (layout, *dashboard.hparams_summaries(config, Path(self.log_dir))):
            self._write(summary)

    def finish(self) -> None:
        self._write(dashboard.session_end())

    def _write(self, summary: Any) -> None:
        self.experiment._get_file_writer().add_summary(summary)  # SummaryWriter has no public way for these

    def flush(self) -> None:
        self.experiment.flush()

    def rewind(self, step: int) -> None:
        """Rewrite the event files of earlier processes as one, without what came after `step` (or its tokens)."""
        from packtrain.training.events import rewind_events

        rewind_events(Path(self.log_dir), step)

    def save(self) -> None:
        """No hparams.yaml: the run folder has its config.yaml."""

    def log_graph(self, *args: Any, **kwargs: Any) -> None:
        """A graph of a model this size helps nobody."""


def _read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    with path.open(newline="") as stream:
        reader = csv.DictReader(stream)
        rows = list(reader)
        return list(reader.fieldnames or []), rows


def _is_whole(row: dict[str, Any], columns: list[str]) -> bool:
    return all(row.get(column) is not None for column in columns) and row["step"].isdigit()
