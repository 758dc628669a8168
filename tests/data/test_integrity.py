"""A start does not wait for checksums, and still nothing learnt from damaged shards is ever saved"""

from __future__ import annotations

from pathlib import Path

import pytest

from packtrain.data import integrity
from packtrain.data.integrity import Integrity
from packtrain.errors import Failure
from tests.tiny import tiny_pack


def flip(pack: Path) -> Path:
    path = next((pack / "b" / "train").glob("*.bin"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    return path


def test_a_small_pack_is_refused_at_once(tmp_path: Path) -> None:
    damaged = flip(tiny_pack(tmp_path))
    with pytest.raises(Failure, match=f"{damaged.name}.*sha256"):
        Integrity(tmp_path)


def test_a_larger_one_starts_and_is_refused_before_it_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "AT_ONCE_BYTES", 10)
    damaged = flip(tiny_pack(tmp_path))
    found = Integrity(tmp_path)
    with pytest.raises(Failure, match=f"{damaged.name}.*sha256"):
        found.wait()
    with pytest.raises(Failure):
        found.check()


def test_beyond_the_limit_sizes_alone_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "AT_ONCE_BYTES", 10)
    monkeypatch.setattr(integrity, "CHECKED_BYTES", 20)
    flip(tiny_pack(tmp_path))
    Integrity(tmp_path).wait()


def test_training_on_a_shard_that_turns_out_damaged_leaves_no_checkpoint(train, pack: Path, monkeypatch) -> None:
    monkeypatch.setattr(integrity, "AT_ONCE_BYTES", 10)
    damaged = flip(pack)
    outcome = train()
    assert outcome.code == 1 and damaged.name in outcome.err and "shard is damaged" in outcome.err
    assert "Traceback" not in outcome.err and not list((outcome.run_dir / "checkpoints").glob("step-*"))
