"""A checkpoint is whole or it is none"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from packtrain.checkpoint import directory
from packtrain.checkpoint.directory import checkpoint_path, commit, committed, newest_intact, resolve, retain
from packtrain.errors import Failure, UserError


def save(run_dir: Path, step: int, content: bytes = b"weights") -> Path:
    def write(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(content)

    path = checkpoint_path(run_dir, step)
    commit(path, write, {"step": step})
    return path


def test_the_marker_says_version_step_sizes_and_checksums(tmp_path: Path) -> None:
    meta = json.loads((save(tmp_path, 7) / "checkpoint.json").read_text())
    assert meta["format_version"] == 2 and meta["kind"] == "whole" and meta["step"] == 7
    assert meta["files"]["model.safetensors"]["bytes"] == 7 and len(meta["files"]["model.safetensors"]["sha256"]) == 64


def test_a_kill_in_the_middle_of_a_save_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    save(tmp_path, 1)

    def dies(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise SystemExit  # nothing after this runs, as under SIGKILL

    with pytest.raises(SystemExit):
        commit(checkpoint_path(tmp_path, 2), dies, {"step": 2})
    said: list[str] = []
    assert newest_intact(tmp_path, said.append) == checkpoint_path(tmp_path, 1) and said == []
    save(tmp_path, 2)  # what the dead save left does not stand in the way
    assert newest_intact(tmp_path, said.append) == checkpoint_path(tmp_path, 2)


def test_a_full_disk_is_one_line_and_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    save(tmp_path, 1)

    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(
        Failure, match=r"No space left on device; free some space .* continues from the checkpoint before"
    ):
        commit(checkpoint_path(tmp_path, 2), full, {"step": 2})
    assert committed(tmp_path) == [checkpoint_path(tmp_path, 1)]
    assert not list((tmp_path / "checkpoints").glob("*.tmp"))


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    save(tmp_path, 1, b"old")
    path = save(tmp_path, 1, b"new")
    assert (path / "model.safetensors").read_bytes() == b"new" and newest_intact(tmp_path) == path


def test_damage_is_said_and_passed_over(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save(tmp_path, step)
    (checkpoint_path(tmp_path, 3) / "model.safetensors").write_bytes(b"weighty")  # the same size
    (checkpoint_path(tmp_path, 2) / "checkpoint.json").write_text("{")
    said: list[str] = []
    assert newest_intact(tmp_path, said.append) == checkpoint_path(tmp_path, 1)
    assert "another checksum" in said[0] and "no readable checkpoint.json" in said[1] and len(said) == 2


def test_a_bit_flipped_anywhere_in_the_marker_is_damage_or_changes_nothing(tmp_path: Path) -> None:
    save(tmp_path, 1)
    path = save(tmp_path, 23)
    marker = path / "checkpoint.json"
    content, meta = marker.read_bytes(), directory.read_meta(path)
    passed = 0
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 7
        marker.write_bytes(flipped)
        if directory.damage(path) is None:
            assert meta.items() <= directory.read_meta(path).items(), flipped.decode(errors="replace")
            passed += 1
    assert passed < 0.1 * len(content)  # the name of the sum: without it a marker is one of before
    marker.write_bytes(content.replace(b'"step": 23', b'"step": 13'))
    assert newest_intact(tmp_path) == checkpoint_path(tmp_path, 1)
    assert [step for step, _ in directory.metas(tmp_path)] == [checkpoint_path(tmp_path, 1)]


def test_a_marker_of_before_says_nothing_of_itself_and_is_read(tmp_path: Path) -> None:
    marker = save(tmp_path, 1) / "checkpoint.json"
    meta = json.loads(marker.read_text())
    del meta[directory.OWN_SUM]
    marker.write_text(json.dumps(meta))
    assert newest_intact(tmp_path) == marker.parent
    for bad in ({**meta, "files": {"model.safetensors": {"bytes": 7}}}, {**meta, "files": []}, {"files": {}}, [], 3):
        marker.write_text(json.dumps(bad))
        assert "no readable checkpoint.json" in (directory.damage(marker.parent) or "")


def test_resolve_takes_a_run_or_a_checkpoint_and_refuses_the_rest(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    assert resolve(tmp_path) == path == resolve(path)
    with pytest.raises(UserError, match="does not exist; give a run folder"):
        resolve(tmp_path / "nowhere")
    os.truncate(path / "model.safetensors", 3)
    with pytest.raises(Failure, match=r"model\.safetensors has 3 bytes instead of 7"):
        resolve(path)
    with pytest.raises(UserError, match="holds no intact checkpoint"):
        resolve(tmp_path, lambda _: None)


def test_another_format_version_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    marker = path / "checkpoint.json"
    said = {**json.loads(marker.read_text()), "format_version": 99}
    marker.write_text(json.dumps({**said, directory.OWN_SUM: directory.own_sum(said)}))
    with pytest.raises(UserError, match=r"checkpoint format 99, this packtrain reads 1 and 2: upgrade it"):
        directory.read_meta(path)
    with pytest.raises(UserError, match="checkpoint format 99"):  # and not passed over for an older one
        newest_intact(tmp_path)


def test_the_last_k_and_every_nth_step_are_kept(tmp_path: Path) -> None:
    for step in range(10, 80, 10):
        save(tmp_path, step)
    gone = retain(tmp_path, keep_last=2, keep_every_steps=30)
    assert [path.name for path in committed(tmp_path)] == [f"step-{n:08d}" for n in (30, 60, 70)]
    assert [path.name for path in gone] == [f"step-{n:08d}" for n in (10, 20, 40, 50)]
