"""events.out.tfevents.* of a run → rows as in metrics.csv, and how far each file could be read

    file = records of: length (8 bytes, little-endian) · its checksum (4) · one event (length) · its checksum (4)

A run that is being written, or was killed, ends in the middle of a record: everything before it counts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packtrain.errors import UserError

AGAINST_TOKENS = "_vs_tokens"  # the same figure once more, for TensorBoard


def read_scalars(folder: Path) -> tuple[list[dict[str, float]], list[str]]:
    """(rows by step, a sentence for each file that could not be read to its end); a step that stands twice counts once,
    as it was written last. Raises `UserError` where TensorBoard is not installed.
    """
    rows: dict[int, dict[str, float]] = {}
    sentences = []
    for path in event_files(folder):
        step, whole = None, True
        try:
            for step, tag, value in scalars(path):
                if not tag.endswith(AGAINST_TOKENS):
                    rows.setdefault(step, {"step": float(step)})[tag] = value
        except _Damaged:
            whole = False
        if not whole:
            until = f"after step {step}" if step is not None else "at its beginning"
            sentences.append(f"{path.name} breaks off {until} (being written, killed, or damaged): read up to there")
    return [rows[step] for step in sorted(rows)], sentences


def event_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("events.out.tfevents.*"))


def scalars(path: Path) -> Iterator[tuple[int, str, float]]:
    """(step, tag, value) of one file; raises `_Damaged` after the last record that is whole."""
    try:
        from google.protobuf.message import DecodeError
        from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
    except ImportError:
        raise UserError(f"{path} can only be read with TensorBoard: pip install tensorboard") from None
    for record in records(path):
        try:
            event: Any = Event.FromString(record)
        except DecodeError:
            raise _Damaged from None
        for value in event.summary.value:
            if value.HasField("simple_value"):
                yield event.step, value.tag, value.simple_value
            elif value.HasField("tensor") and value.tensor.float_val:
                yield event.step, value.tag, value.tensor.float_val[0]


def breaks_off(path: Path) -> bool:
    """Whether the file ends in the middle of a record."""
    try:
        for _ in records(path):
            pass
    except _Damaged:
        return True
    return False


def records(path: Path) -> Iterator[bytes]:
    """The events of one file as bytes; raises `_Damaged` where it does not end with a whole record."""
    left = path.stat().st_size
    with path.open("rb") as stream:
        while left:
            head = stream.read(12)
            length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else left
            if length + 16 > left:
                raise _Damaged
            yield stream.read(length)
            stream.seek(4, 1)
            left -= length + 16


class _Damaged(Exception):
    """No further record can be read."""
