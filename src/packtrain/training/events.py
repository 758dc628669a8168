"""event files of killed processes → (keep what the checkpoint knows) → one event file

TensorBoard hides superseded steps only while it reads in order; other readers show them twice. So they are taken out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.summary.writer.record_writer import RecordWriter


def rewind_events(folder: Path, step: int) -> None:
    """Leave in `folder` only events up to `step`; those of tags that end in `_vs_tokens` by their count of tokens.

    The tokens of `step` are the largest that a `tokens` scalar at or before it says. A record that a kill cut short is
    dropped. The new file appears by rename before the old ones go, so a kill in between repeats the work.
    """
    files = sorted(folder.glob("events.out.tfevents.*"))
    if not files:
        return
    events = [event for file in files for event in read_events(file)]
    tokens = max((v for e in events if e.step <= step for t, v in _scalars(e) if t == "tokens"), default=0.0)
    kept: dict[Any, bytes] = {}  # by (tag, step): a kill during an earlier rewind may have left an event in two files
    for event in events:
        if event.HasField("file_version"):
            kept.setdefault("version", event.SerializeToString())
        elif event.HasField("summary"):
            tags = tuple(value.tag for value in event.summary.value)
            limit = tokens if any(tag.endswith("_vs_tokens") for tag in tags) else step
            if event.step <= limit:
                kept[(tags, event.step)] = event.SerializeToString()
    temporary = folder / "rewound.tmp"
    with temporary.open("wb") as stream:
        writer = RecordWriter(stream)
        for record in kept.values():
            writer.write(record)
        stream.flush()
        os.fsync(stream.fileno())
    last = files[-1]
    temporary.replace(last)
    for file in files[:-1]:
        file.unlink()


def read_events(file: Path) -> Iterator[Event]:
    """The events of one file, up to the first damaged record."""
    for record in RawEventFileLoader(str(file)).Load():
        yield Event.FromString(record)


def _scalars(event: Event) -> Iterator[tuple[str, float]]:
    for value in event.summary.value:
        if value.HasField("simple_value"):
            yield value.tag, value.simple_value
        elif value.HasField("tensor") and value.tensor.float_val:
            yield value.tag, value.tensor.float_val[0]
