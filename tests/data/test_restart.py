"""prepare, stopped anywhere: what is finished stays, what has changed is made anew, the bytes are the same"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from packtrain.data import stage, stage_work
from packtrain.data.complete import Executor
from packtrain.data.documents import document_files
from packtrain.data.executors import registry
from packtrain.data.plan import Plan
from packtrain.data.prepare import PrepareOptions, prepare
from packtrain.data.run_steps import units_of
from packtrain.errors import Failure, UserError

DOMAIN = {"name": "c4"}
SENTENCES = [f"The {a} {b} over the {c}." for a in ("dog", "fox", "cat", "cow") for b in ("runs", "jumps", "looks")
             for c in ("hill", "old wall", "river", "moon", "garden")]  # fmt: skip


def pages(folder: Path, files: int = 6, each: int = 60) -> Path:
    """Pages of sentences, of which every span of three stands in several: a global step with much to decide."""
    chance = random.Random(5)
    folder.mkdir()
    for number in range(files):
        lines = [
            json.dumps({"text": " ".join(chance.choices(SENTENCES, k=12)), "url": f"http://x/{number}/{i}"})
            for i in range(each)
        ]
        (folder / f"{number}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(autouse=True)
def a_unit_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("packtrain.data.prepare.units_of", lambda files, sizes: units_of(files, sizes, 1))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pages(tmp_path_factory.mktemp("restart") / "in")


@pytest.fixture(scope="module")
def reference(source: Path) -> dict[str, bytes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("packtrain.data.prepare.units_of", lambda files, sizes: units_of(files, sizes, 1))
        return made(source, source.parent / "reference")


def made(source: Path, output: Path, executor: Executor | None = None, **options: Any) -> dict[str, bytes]:
    processes = options.pop("processes", 0)
    prepare(DOMAIN, source, output, 0.2, options=PrepareOptions(processes=processes, **options), executor=executor)
    return tree(output)


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(stage, unit) of all that was run; to be stopped by `stop_at`."""
    run_unit, seen = stage.run_unit, []

    def run(plan: Plan, number: int, unit: int, folder: Path, tick: Callable[[int], None]) -> Any:
        seen.append((number, unit))
        return run_unit(plan, number, unit, folder, tick)

    monkeypatch.setattr(stage_work, "run_unit", run)
    return seen


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_what_is_finished_is_not_made_again(
    source: Path, reference: dict[str, bytes], tmp_path: Path, ran: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch, error: BaseException,
) -> None:  # fmt: skip
    watched = stage_work.run_unit

    def stopped(plan: Plan, number: int, unit: int, folder: Path, tick: Callable[[int], None]) -> Any:
        if (number, unit) == (1, 2):
            (folder / "half").write_text("half")
            raise error
        return watched(plan, number, unit, folder, tick)

    monkeypatch.setattr(stage_work, "run_unit", stopped)
    with pytest.raises(type(error)):
        made(source, tmp_path / "out")
    assert not (tmp_path / "out").exists() and (tmp_path / ".out.work").is_dir()
    before = len(ran)
    monkeypatch.setattr(stage_work, "run_unit", watched)
    said: list[str] = []
    prepare(DOMAIN, source, tmp_path / "out", 0.2, say=said.append, options=PrepareOptions(processes=0))
    assert "goes on where it stopped" in said[0]
    assert ran[:before] == [*((0, unit) for unit in range(6)), (1, 0), (1, 1)]
    assert ran[before:] == [(1, unit) for unit in range(2, 6)]
    assert tree(tmp_path / "out") == reference
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("what", ["settings", "code", "input"])
def test_a_change_is_never_mistaken_for_finished_work(
    tmp_path: Path, ran: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    source, output = pages(tmp_path / "in", 2, 20), tmp_path / "out"
    run = stage_work.MergeWork.run
    monkeypatch.setattr(stage_work.MergeWork, "run", lambda *_: (_ for _ in ()).throw(Failure("stopped")))
    with pytest.raises(Failure, match="stopped"):
        made(source, output)
    monkeypatch.setattr(stage_work.MergeWork, "run", run)
    assert ran == [(0, 0), (0, 1)]
    if what == "code":
        monkeypatch.setattr("packtrain.data.prepare.code_version", lambda *modules: "another")
    if what == "input":
        (source / "1.jsonl").write_text((source / "1.jsonl").read_text().replace("moon", "noon"))
    said: list[str] = []
    prepare(DOMAIN, source, output, 0.3 if what == "settings" else 0.2, say=said.append,
            options=PrepareOptions(processes=0))  # fmt: skip
    assert "is made anew" in said[0] and ran[2:] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    if what == "code":
        monkeypatch.undo()
        with pytest.raises(UserError, match=r"made with other settings \(code another → \w+\).*overwrite=true"):
            made(source, output)


def test_two_commands_do_not_make_one_output_at_the_same_time(source: Path, tmp_path: Path) -> None:
    class Nested:
        def run(self, *_: object) -> dict[int, str]:
            made(source, tmp_path / "out")
            raise AssertionError

    with pytest.raises(UserError, match="is being made by process"):
        made(source, tmp_path / "out", Nested())  # pyright: ignore[reportArgumentType]


def test_a_file_that_cannot_be_read_is_named_and_counted_or_ends_the_work(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def broken(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "3.jsonl" and path.parent == source:
            raise OSError(5, "Input/output error")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", broken)
    with pytest.raises(
        Failure, match=r"unit 3 of stage 1 \(3\.jsonl\): 3\.jsonl cannot be read \(Input/output error\)"
    ):
        made(source, tmp_path / "out", on_error="stop", retries=1)
    report = prepare(DOMAIN, source, tmp_path / "out", 0.2, options=PrepareOptions(processes=0, retries=0))
    assert report["skipped"]["counts"] == {"given up": 1} and report["read"] == 300
    assert report["skipped"]["first"][0]["file"] == "3.jsonl"


def test_a_list_of_inputs_with_duplicates_is_refused(source: Path) -> None:
    with pytest.raises(UserError, match=r"0\.jsonl is there twice \(6 files are\); name every file and folder once"):
        document_files([source, source / ".." / "in"])


def test_two_workers_make_the_same_bytes(source: Path, reference: dict[str, bytes], tmp_path: Path) -> None:
    assert made(source, tmp_path / "out", processes=2) == reference


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="pip install 'packtrain[ray]'")
def test_ray_makes_the_same_bytes(source: Path, reference: dict[str, bytes], tmp_path: Path) -> None:
    ray = registry.choose({"engine": "ray", "workers": 2, "memory_gb": 0.2})
    assert made(source, tmp_path / "out", ray) == reference


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_kills_at_random_end_in_the_same_bytes(
    source: Path, reference: dict[str, bytes], tmp_path: Path
) -> None:
    script = tmp_path / "job.py"
    script.write_text(
        "import sys; from pathlib import Path; from packtrain.data import prepare, run_steps\n"
        "if __name__ == '__main__':\n"
        "    prepare.units_of = lambda files, sizes: run_steps.units_of(files, sizes, 1)\n"
        "    options = prepare.PrepareOptions(processes=2)\n"
        "    prepare.prepare({'name': 'c4'}, Path(sys.argv[1]), Path(sys.argv[2]), 0.2, options=options)\n"
    )
    chance, output, kills = random.Random(11), tmp_path / "out", 0
    begun = time.monotonic()
    subprocess.run([sys.executable, script, source, tmp_path / "whole"], check=True)
    whole = time.monotonic() - begun
    while kills < 20:
        job = subprocess.Popen([sys.executable, script, source, output])
        try:
            job.wait(chance.uniform(0.3, 1.0) * whole)
        except subprocess.TimeoutExpired:
            job.send_signal(signal.SIGKILL)
            kills += 1
        job.wait()
        if output.exists():
            assert tree(output) == reference
            if kills < 20:  # it got through: begin once more
                subprocess.run(["rm", "-r", output], check=True)
    subprocess.run([sys.executable, script, source, output], check=True)
    assert tree(output) == reference and [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_times_the_input_needs_no_more_memory(tmp_path: Path) -> None:
    script = tmp_path / "job.py"
    script.write_text(
        "import resource, sys; from pathlib import Path; from packtrain.data import prepare, run_steps\n"
        "prepare.units_of = lambda files, sizes: run_steps.units_of(files, sizes, 1)\n"
        "options = prepare.PrepareOptions(processes=0)\n"
        "prepare.prepare({'name': 'c4'}, Path(sys.argv[1]), Path(sys.argv[2]), 0.2, options=options)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    peaks = []
    for name, files in (("one", 4), ("ten", 40)):
        source = pages(tmp_path / name, files, 2000)
        done = subprocess.run(
            [sys.executable, script, source, tmp_path / f"{name}-out"], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout.split()[-1]) / 1024)
    print(f"{peaks[0]:.0f} and {peaks[1]:.0f} MiB")
    assert peaks[1] < 1.25 * peaks[0] + 20
