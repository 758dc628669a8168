"""A command ended in the middle leaves nothing half-written, and what a SIGKILL left is gone with the next run"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from packtrain.cli import main
from packtrain.data.publish import publish
from tests.export.making import make_run

# Stops when its first text is written, beside weights or before them.
PROGRAM = """
import pathlib, sys, time
from packtrain.cli import main
whole = pathlib.Path.write_text
def stopping(*arguments, **named):
    whole(*arguments, **named)
    print("begun", flush=True)
    time.sleep(20)
pathlib.Path.write_text = stopping
sys.exit(main(sys.argv[1:]))
"""
COMMANDS = {
    "hf": ["export", "format=hf"], "meta": ["export", "format=meta"], "gguf": ["export", "format=gguf"],
    "native": ["export", "format=native"], "quantise": ["quantise", "text_tokens=64", "device=cpu"],
    "import": ["import", "name=out"],
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("kill"))


@pytest.fixture(scope="module")
def hf(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "hf"
    assert main(["export", f"checkpoint={run}", f"output={folder}"]) == 0
    return folder


def arguments(name: str, run: Path, hf: Path, place: Path) -> list[str]:
    where = [f"source={hf}", f"runs_dir={place}"] if name == "import" else [f"checkpoint={run}", f"output={place}/out"]
    return [*COMMANDS[name], *where]


def ended_by(number: signal.Signals, words: list[str]) -> tuple[int, str]:
    """The exit code and what was said of a command that was sent `number` while it wrote."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stderr
        for line in process.stdout:
            if line == "begun\n":
                process.send_signal(number)
        return process.wait(60), process.stderr.read()


@pytest.mark.parametrize(("name", "number"), [("hf", signal.SIGINT), *((name, signal.SIGTERM) for name in COMMANDS)])
def test_it_leaves_nothing_half_written(name: str, number: signal.Signals, run: Path, hf: Path, tmp_path: Path) -> None:
    code, error = ended_by(number, arguments(name, run, hf, tmp_path))
    assert (code, error) == (130, "packtrain: interrupted\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["meta", "quantise", "import"])
def test_what_a_sigkill_left_is_cleared_by_the_next_run(name: str, run: Path, hf: Path, tmp_path: Path) -> None:
    words = arguments(name, run, hf, tmp_path)
    assert ended_by(signal.SIGKILL, words)[0] == -signal.SIGKILL
    assert {path.name for path in tmp_path.iterdir()} == {".out.lock", ".out.tmp"}
    assert main(words) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("kill", [False, True], ids=["interrupted", "killed"])
def test_what_is_replaced_is_there_until_the_new_one_is(
    kill: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops between the two renames: the old one out of the way, the new one in its place."""
    output = tmp_path / "out"
    output.mkdir()
    (output / "old").touch()
    whole = Path.rename

    def rename(path: Path, target: Path) -> Path:
        if path.name == ".out.tmp":
            if kill:
                monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)
                monkeypatch.setattr(Path, "exists", lambda _: False)
            raise KeyboardInterrupt
        return whole(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(KeyboardInterrupt), publish(output) as folder:
        (folder / "new").touch()
    monkeypatch.undo()
    assert kill or [path.name for path in tmp_path.iterdir()] == ["out"]
    with pytest.raises(ZeroDivisionError), publish(output):
        assert (output / "old").is_file(), "until the new one is whole"
        raise ZeroDivisionError
    assert (output / "old").is_file() and [path.name for path in tmp_path.iterdir()] == ["out"]
