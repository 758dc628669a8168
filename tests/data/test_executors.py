"""units through executors: lost ones again, bad ones by rule, and what is there is whole"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from packtrain.data.complete import Rules, complete
from packtrain.data.executors import local, registry
from packtrain.data.executors.local import LocalExecutor
from packtrain.data.prepare import prepare
from packtrain.errors import Failure, UserError
from tests.data.toy_work import ToyWork

QUICK = Rules(retries=1, timeout=3.0)


def made(work: ToyWork, count: int = 4, processes: int = 2, rules: Rules = QUICK) -> list[str]:
    complete(work, [1] * count, "toys", LocalExecutor(processes=processes), rules)
    return [(work.place.unit(unit) / "whole").read_text() for unit in range(count)]


def tries(work: ToyWork, count: int = 4) -> list[int]:
    files = [work.folder / f"tries-{unit}" for unit in range(count)]
    return [len(file.read_text()) if file.exists() else 0 for file in files]


def test_a_unit_whose_process_dies_or_hangs_is_made_again_and_no_other(tmp_path: Path) -> None:
    work = ToyWork(tmp_path, ((1, "once-dies"), (2, "once-hangs")))
    assert made(work) == ["0", "1", "2", "3"]
    assert tries(work) == [1, 2, 2, 1]
    assert sorted(p.name for p in work.place.folder.iterdir()) == [f"00000{n}" for n in range(4)]


@pytest.mark.parametrize(("deed", "reason"), [("dies", "its process was killed"), ("hangs", "no document for 1 s")])
def test_a_single_unit_has_a_process_of_its_own_too_and_its_end_is_named(
    tmp_path: Path, deed: str, reason: str
) -> None:
    rules = Rules("stop", retries=0, timeout=1 if deed == "hangs" else 60)
    with pytest.raises(Failure, match=rf"toy 0: .*{reason}.*tried 1 times"):
        made(ToyWork(tmp_path, ((0, deed),)), 1, 1, rules)


def test_unasked_there_is_a_watched_process_for_each_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "cores", lambda: 2)
    with pytest.raises(Failure, match="toy 1: its process was killed"):
        complete(ToyWork(tmp_path, ((1, "dies"),)), [1] * 2, "toys", LocalExecutor(), Rules("stop", retries=0))


def test_a_script_without_a_guard_is_not_run_again_by_its_workers(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    (tmp_path / "a.txt").write_text("A text of its own.\n")
    script.write_text(
        "from pathlib import Path\nfrom packtrain.data.prepare import prepare\nprint('begun')\n"
        f"prepare('text', Path({str(tmp_path / 'a.txt')!r}), Path({str(tmp_path / 'out')!r}), 0.1)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("begun") == 1 and "1 of 1 documents kept" in done.stdout


def test_with_processes_0_the_work_is_done_by_the_command_itself(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="the toy is broken") as caught:
        made(ToyWork(tmp_path, ((1, "fails"),)), 2, 0)
    assert any(entry.name == "_misbehave" for entry in caught.traceback)  # what a debugger stops at
    with pytest.raises(UserError, match=r"processes=-1: expected at least 1, null for one a core, or 0 for none"):
        LocalExecutor(processes=-1)


def test_a_unit_that_always_kills_its_process_ends_the_work_or_is_left_out_by_rule(tmp_path: Path) -> None:
    work = ToyWork(tmp_path, ((1, "dies"),))
    with pytest.raises(Failure, match=r"toy 1: its process was killed.*tried 2 times; .* run the same command again"):
        made(work, rules=Rules("stop", retries=1))
    assert tries(work) == [1, 2, 1, 1]
    assert made(work) == ["0", "1", "2", "3"]
    assert "killed" in (tmp_path / "left-out-1").read_text()
    assert tries(work) == [1, 5, 1, 1]  # two more, then without what it stumbled over


@pytest.mark.parametrize("processes", [1, 2])
def test_a_file_that_cannot_be_read_is_tried_again_then_skipped_or_the_end(tmp_path: Path, processes: int) -> None:
    work = ToyWork(tmp_path, ((0, "once-unreadable"), (1, "unreadable")))
    with pytest.raises(Failure, match=r"toy 1: a\.txt cannot be read"):
        made(work, 2, processes, Rules("stop", retries=1))
    assert tries(work, 2) == [2, 2]
    assert made(work, 2, processes) == ["0", "1"]


@pytest.mark.parametrize("processes", [1, 2])
def test_what_is_no_bad_luck_is_raised_at_once_and_the_finished_units_stay(tmp_path: Path, processes: int) -> None:
    work = ToyWork(tmp_path, ((1, "fails"),))
    with pytest.raises(Failure, match="the toy is broken"):
        made(work, 3, processes)
    assert tries(work, 3)[:2] == [1, 1]
    full = ToyWork(tmp_path, ((1, "full"),))
    with pytest.raises(OSError, match="No space left"):
        made(full, 3, processes)
    assert made(ToyWork(tmp_path), 3, processes) == ["0", "1", "2"]
    assert tries(work, 3)[0] == 1


def test_a_damaged_unit_and_one_of_other_settings_do_not_count(tmp_path: Path) -> None:
    work = ToyWork(tmp_path)
    made(work, 2, 1)
    (work.place.unit(0) / "whole").write_text("")
    marker = work.place.unit(1) / "done.json"
    marker.write_text(marker.read_text().replace("toys", "others"))
    assert not work.finished(0) and not work.finished(1)
    assert made(work, 2, 1) == ["0", "1"]


def test_an_engine_or_a_setting_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for values, message in (
        ({"engine": "dask"}, r"executor\.engine=dask: unknown.*local.*ray.*slurm"),
        ({"engine": "local", "cores": 2}, r"executor\.cores"),
        ({"engine": "ray", "workers": 0}, r"executor\.workers=0: expected at least 1"),
    ):
        with pytest.raises(UserError, match=message):
            registry.choose(values)
    monkeypatch.setattr("packtrain.data.executors.ray.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"executor=ray: ray is not installed; pip install 'packtrain\[ray\]'"):
        registry.choose({"engine": "ray"})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"executor=slurm: there is no sbatch .* executor=local"):
        registry.choose({"engine": "slurm", "partition": "main"})


def test_a_domain_that_is_made_as_a_whole_says_that_no_executor_takes_part(tmp_path: Path) -> None:
    class Never:
        def run(self, *_: object) -> dict[int, str]:
            raise AssertionError

    said: list[str] = []
    prepare("unicode", None, tmp_path / "out", 0.1, say=said.append, executor=Never())  # pyright: ignore[reportArgumentType]
    assert said[0].startswith("domain=unicode: made as a whole by this process; executor= is for domains")


def test_a_partition_that_is_not_there_is_named_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, answer in (("sbatch", ""), ("sinfo", "echo 'main*'; echo high")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{answer}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for partition in ("gpu", None):
        with pytest.raises(UserError, match=r"executor\.partition=(gpu|null): .*no such partition; known: high, main"):
            registry.choose({"engine": "slurm", "partition": partition})
    assert registry.choose({"engine": "slurm", "partition": "main"})
    (tmp_path / "sinfo").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(UserError, match=r"no such partition; sinfo lists none \(is the controller up\?\)$"):
        registry.choose({"engine": "slurm", "partition": None})


@pytest.mark.skipif(find_spec("ray") is None, reason="pip install 'packtrain[ray]'")
@pytest.mark.slow
def test_ray_makes_the_units_and_tells_which_were_lost(tmp_path: Path) -> None:
    work = ToyWork(tmp_path, ((1, "once-dies"), (2, "once-hangs")))
    complete(work, [1] * 3, "toys", registry.choose({"engine": "ray", "workers": 2, "memory_gb": 0.2}), QUICK)
    assert [(work.place.unit(unit) / "whole").read_text() for unit in range(3)] == ["0", "1", "2"]
    assert tries(work, 3) == [1, 2, 2]


class Interrupted:
    """An executor that is stopped after its first unit."""

    def run(self, work: ToyWork, todo: Sequence[int], *_: object) -> dict[int, str]:
        work.run(todo[0], lambda characters: None)
        raise KeyboardInterrupt


def test_a_stop_costs_only_the_units_under_way(tmp_path: Path) -> None:
    work = ToyWork(tmp_path)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            complete(work, [1] * 4, "toys", Interrupted(), QUICK)  # pyright: ignore[reportArgumentType]
    assert made(work) == ["0", "1", "2", "3"] and tries(work) == [1, 1, 1, 1]
