"""A checkpoint that two processes wrote, on any mesh, is exported, generated from, scored and quantised by one"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch

from packtrain.checkpoint.directory import resolve
from packtrain.checkpoint.weights import open_weights
from packtrain.cli import main
from tests.distributed.launch import torchrun
from tests.tiny_run import make_run

MESHES = ("1x2x1", "1x1x2")  # replicate, shard, tensor


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def sharded(whole: Path) -> Path:
    folder = whole.parent.parent / "sharded"
    ended = torchrun(2, Path(__file__).with_name("reshard.py"), whole, folder, *MESHES)
    assert ended.code == 0, ended.output
    return folder


@pytest.fixture(params=MESHES, ids=["shard 2", "tensor 2"])
def run(request: pytest.FixtureRequest, sharded: Path) -> Path:
    return sharded / request.param / "tiny"


def hashes(folder: Path) -> dict[str, str]:
    """Of the files that hold weights."""
    files = [file for file in folder.iterdir() if file.suffix in (".safetensors", ".pth", ".gguf")]
    assert files
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_its_tensors_are_the_same_bits(whole: Path, run: Path) -> None:
    ours, theirs = open_weights(resolve(run)), open_weights(resolve(whole))
    assert len(list(resolve(run).glob("shard-*"))) == 4, "two processes wrote weights and moments"
    assert ours.shapes == theirs.shapes
    assert any(len(places) == 2 for places in ours.places.values())
    assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []


@pytest.mark.parametrize(
    "more", [("hf",), ("native", "precision=bf16"), ("meta", "shards=2"), ("gguf", "precision=q8_0")]
)
def test_every_export_of_it_is_the_same_file(whole: Path, run: Path, tmp_path: Path, more: tuple[str, ...]) -> None:
    for source, name in ((whole, "a"), (run, "b")):
        command = ["export", f"checkpoint={source}", f"output={tmp_path / name}", f"format={more[0]}", *more[1:]]
        assert main([*command, "verify_tokens=32"]) == 0
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_it_generates_is_scored_and_quantised_as_the_whole_one(
    whole: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = []
    for source, name in ((whole, "a"), (run, "b")):
        capsys.readouterr()
        assert main(["generate", f"checkpoint={source}", "prompt=def", "max_new_tokens=8", "temperature=0"]) == 0
        texts.append(capsys.readouterr().out)
        assert main(["evaluate", f"checkpoint={source}", f"output={tmp_path / name}.json"]) == 0
        command = ["quantise", f"checkpoint={source}", f"output={tmp_path / name}", "text_tokens=64"]
        assert main(command) == 0
    assert texts[0] == texts[1]
    figures = [json.loads((tmp_path / f"{name}.json").read_text())["domains"] for name in "ab"]
    assert figures[0] == figures[1]
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_a_shard_that_is_gone_is_named(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "tiny"
    shutil.copytree(run, copy)
    lost = sorted(resolve(copy).glob("shard-00002-model-00001-*"))[0]
    lost.unlink()
    capsys.readouterr()
    checkpoint = next((copy / "checkpoints").iterdir())
    for command in ("export", "generate", "evaluate", "quantise"):
        assert main([command, f"checkpoint={checkpoint}"]) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and f"{lost.name} is missing" in error, error
