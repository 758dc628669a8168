"""A killed evaluation goes on where it was, and its file is, byte for byte, that of one that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from packtrain import cli
from packtrain.evaluation.tasks import runner
from tests.tiny_run import make_run

ITEMS = 400


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    make_run(folder)
    (folder / "data" / "nq_open").mkdir(parents=True)
    (folder / "data" / "commonsense").mkdir()
    asked = [{"question": f"who packs {n}", "answer": ["a llama"]} for n in range(ITEMS)]
    chosen = [
        {"question": f"def f{n}", "choices": ["(x):", f"{n} packs", "return"], "gold": n % 3} for n in range(ITEMS)
    ]
    for path, rows in (("nq_open/NQ-open.dev.jsonl", asked), ("commonsense/ARC-Easy.test.jsonl", chosen)):
        (folder / "data" / path).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def arguments(made: Path, output: Path) -> list[str]:
    return [
        "evaluate", f"checkpoint={made / 'runs' / 'tiny'}", "device=cpu", f"data_dir={made / 'data'}",
        f"output={output}", "tasks=[arc_easy,nq_open]", "tasks.nq_open.shots=[0]", "tasks.nq_open.options.max_tokens=8",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_killed_evaluation_goes_on_and_its_file_is_the_same(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranks: int
) -> None:
    whole, cut = tmp_path / "whole.json", tmp_path / "cut.json"
    assert cli.main(arguments(made, whole)) == 0
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"] if ranks == 2 else []
    process = subprocess.Popen(
        [sys.executable, *launcher, "-m", "packtrain", *arguments(made, cut)], start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    spool = tmp_path / "cut.json.part" / f"nq_open.{ranks - 1}.jsonl"
    deadline = time.monotonic() + 120
    while not (spool.is_file() and spool.read_text().count("\n") > 2) and time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split() if ranks > 1 else []
    for number in [process.pid, *map(int, workers)]:  # torchrun's workers are in groups of their own
        os.kill(number, signal.SIGKILL)
    process.wait()
    kept = [
        line for path in spool.parent.glob("nq_open.*") for line in path.read_text().splitlines() if '"index"' in line
    ]
    assert 0 < len(kept) < ITEMS
    record = json.loads(cut.read_text())
    assert set(record["tasks"]) == {"arc_easy"}, "a task that was done is in the file"

    asked: list[int] = []
    real = runner.compute

    def counted(task: Any, answerer: Any, batch: Any) -> Any:
        asked.append(len(batch))
        return real(task, answerer, batch)

    monkeypatch.setattr(runner, "compute", counted)
    assert cli.main(arguments(made, cut)) == 0
    assert sum(asked) == ITEMS - len(kept)
    assert cut.read_bytes() == whole.read_bytes() and not spool.parent.exists()
