"""A real SLURM of two nodes, one process on each: however a run is interrupted, it ends as if nothing had happened

The runs differ in how they were stopped and in nothing else: the reference ran through. Equal means: every weight, bit
by bit, and the digest of every batch that every rank saw at every step, those seen twice included.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from packtrain.checkpoint.directory import checkpoint_path
from packtrain.checkpoint.load import read_weights

STEPS = 150
PAIR = ("cluster.nodes=2", "cluster.gpus_per_node=1")
SLOW = ("+callbacks.slow._target_=tests.slurm.inside.Slow", "+callbacks.slow.seconds=0.1")
SKEWED = (*SLOW, "+callbacks.slow.rank=1")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def samples(run: Path) -> dict[tuple[str, int], set[str]]:
    """(rank's file, step) → the digests of its batches there: one, though the step may have been done twice."""
    seen: dict[tuple[str, int], set[str]] = {}
    for path in run.glob("samples-*.txt"):
        for line in path.read_text().splitlines():
            step, digest = line.split()
            seen.setdefault((path.name, int(step)), set()).add(digest)
    return seen


def equal(run: Path, reference: Path) -> None:
    assert (run / "summary.json").is_file()
    ours, theirs = (read_weights(checkpoint_path(folder, STEPS)) for folder in (run, reference))
    assert ours.keys() == theirs.keys() and len(ours) > 10
    assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []
    assert samples(run) == samples(reference)
    assert {len(digests) for digests in samples(run).values()} == {1} and len(samples(run)) == 2 * STEPS


@pytest.fixture(scope="module")
def reference(base: Path) -> Path:
    return base / "runs" / "whole"


@pytest.fixture(autouse=True)
def whole(slurm, reference: Path) -> None:
    """The uninterrupted run, once."""
    if not (reference / "summary.json").is_file():
        assert slurm.end(slurm.train("whole", *PAIR, steps=STEPS)) == "COMPLETED", slurm.log("whole")
        assert "starts:" in slurm.log("whole") and "continues" not in slurm.log("whole")


def stops(log: str) -> list[int]:
    return [int(part.split()[0]) for part in log.split(": stopped at step ")[1:]]


def test_usr1_in_mid_step_with_two_workers_and_a_rank_that_lags(slurm, reference: Path) -> None:
    job = slurm.train("usr1", *PAIR, *SKEWED, "data.workers=2", steps=STEPS)
    for count, step in enumerate((10, 60), 1):
        slurm.until(lambda step=step: slurm.step("usr1") >= step, f"step {step}")
        slurm.ask("scancel", "--signal=USR1", f"{job}_0")
        slurm.until(lambda count=count: slurm.restarts(job) == count, "the requeue")
    assert slurm.end(job) == "COMPLETED", slurm.log("usr1")
    assert len(stops(slurm.log("usr1"))) == 2
    assert all(f"continues after step {step}" in slurm.log("usr1") for step in stops(slurm.log("usr1")))
    equal(slurm.runs / "usr1", reference)


def test_usr1_during_the_imports_is_not_lost(slurm, reference: Path) -> None:
    job = slurm.train("early", *PAIR, *SLOW, steps=STEPS)
    slurm.until(lambda: ".0" in slurm.ask("squeue", "--steps", f"--jobs={job}", "--noheader", "--format=%i"), "srun")
    time.sleep(0.2)
    slurm.ask("scancel", "--signal=USR1", f"{job}_0")
    assert slurm.step("early") == 0
    slurm.until(lambda: slurm.restarts(job) == 1, "the requeue")
    assert slurm.end(job) == "COMPLETED", slurm.log("early")
    assert stops(slurm.log("early")) == [1]
    equal(slurm.runs / "early", reference)


def test_the_time_limit_requeues_and_the_run_goes_on(slurm, reference: Path) -> None:
    # The signal comes 60 to 120 s before the end of three minutes; 150 steps of 1 s want more than is left.
    limit = ("hydra.launcher.time=3", "hydra.launcher.signal_seconds=60")
    job = slurm.train("limit", *PAIR, *SLOW, "callbacks.slow.seconds=1", *limit, steps=STEPS)
    slurm.until(lambda: slurm.restarts(job) >= 1, "the time limit", 400)
    slurm.ask("scontrol", "update", f"JobId={job}_0", "TimeLimit=60")
    assert slurm.end(job, seconds=400) == "COMPLETED", slurm.log("limit")
    assert stops(slurm.log("limit")) and "TIME LIMIT" not in slurm.log("limit")
    equal(slurm.runs / "limit", reference)


def test_preemption_with_grace_time_saves_before_it_gives_the_nodes_away(slurm, reference: Path) -> None:
    everything = ("hydra.launcher.sbatch=[--exclusive]",)
    job = slurm.train("preempted", *PAIR, *SLOW, *everything, steps=STEPS)
    slurm.until(lambda: slurm.step("preempted") >= 10, "the tenth step")
    urgent = slurm.ask("sbatch", "--parsable", "--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null",
                       "--wrap=sleep 2").strip()  # fmt: skip
    slurm.until(lambda: slurm.restarts(job) == 1, "the requeue")
    assert slurm.end(job) == "COMPLETED", slurm.log("preempted")
    assert "JobState=COMPLETED" in slurm.ask("scontrol", "show", "job", urgent)
    (stopped,) = stops(slurm.log("preempted"))
    assert f"continues after step {stopped}" in slurm.log("preempted")
    equal(slurm.runs / "preempted", reference)


def test_scancel_then_the_same_command_continues(slurm, reference: Path) -> None:
    often = ("callbacks.checkpointing.interval_tokens=2560",)  # every ten steps
    job = slurm.train("cancelled", *PAIR, *SLOW, *often, steps=STEPS)
    slurm.until(lambda: slurm.step("cancelled") >= 25, "step 25")
    slurm.ask("scancel", f"{job}_0")
    assert slurm.end(job) == "CANCELLED"
    time.sleep(3)
    assert slurm.state(job) == "CANCELLED", "nobody requeues what its owner has cancelled"
    again = slurm.train("cancelled", *PAIR, *often, steps=STEPS)
    assert slurm.end(again) == "COMPLETED", slurm.log("cancelled")
    assert "continues after step" in slurm.log("cancelled")
    equal(slurm.runs / "cancelled", reference)


def test_a_killed_rank_is_restarted_and_a_crash_is_failed(slurm, reference: Path) -> None:
    often = ("callbacks.checkpointing.interval_tokens=2560",)
    job = slurm.train("killed", *PAIR, *SLOW, *often, steps=STEPS)
    slurm.until(lambda: slurm.step("killed") >= 25, "step 25")
    slurm.kill_rank("killed", 1)
    slurm.until(lambda: slurm.restarts(job) == 1, "the requeue")
    assert slurm.end(job) == "COMPLETED", slurm.log("killed")
    equal(slurm.runs / "killed", reference)

    crash = ("+callbacks.crash._target_=tests.slurm.inside.Crash", "+callbacks.crash.step=3", "+callbacks.crash.rank=1")
    job = slurm.train("crashed", *PAIR, *crash, steps=STEPS)
    assert slurm.end(job) == "FAILED"
    assert slurm.restarts(job) == 0
    assert "ArithmeticError: nobody foresaw this" in slurm.log("crashed")


def test_a_node_that_fails_costs_the_steps_since_the_last_save_and_nothing_else(slurm, reference: Path) -> None:
    often = ("callbacks.checkpointing.interval_tokens=2560",)
    job = slurm.train("failed-node", *PAIR, *SLOW, *often, steps=STEPS)
    slurm.until(lambda: slurm.step("failed-node") >= 25, "step 25")
    slurm.ask("scontrol", "update", "NodeName=n2", "State=DOWN", "Reason=test")
    try:
        slurm.until(lambda: slurm.restarts(job) == 1, "the requeue")
    finally:
        slurm.ask("scontrol", "update", "NodeName=n2", "State=RESUME")
    assert slurm.end(job) == "COMPLETED", slurm.log("failed-node")
    assert "continues after step" in slurm.log("failed-node")
    equal(slurm.runs / "failed-node", reference)


@pytest.mark.parametrize("frozen", ["false", "true"])
def test_a_rank_that_hangs_is_named_and_the_run_restarted(slurm, reference: Path, frozen: str) -> None:
    name = f"hung-{frozen}"
    hang = ("+callbacks.hang._target_=tests.slurm.inside.Hang", "+callbacks.hang.step=20", "+callbacks.hang.rank=1",
            "+callbacks.hang.run_dir=${run_dir}", f"+callbacks.hang.frozen={frozen}",
            "callbacks.watchdog.timeout_seconds=30", "callbacks.checkpointing.interval_tokens=2560")  # fmt: skip
    job = slurm.train(name, *PAIR, *hang, steps=STEPS)
    slurm.until(lambda: slurm.restarts(job) == 1, "the watchdog")
    assert slurm.end(job) == "COMPLETED", slurm.log(name)
    said = [line for line in slurm.log(name).splitlines() if " hangs: " in line]
    assert said and all("rank 1 on " in line for line in said), said
    if frozen == "true":  # not even its watchdog goes on: the last sign of life may be some steps old
        assert any("no sign of life" in line for line in said), said
    else:
        assert any("after step 20" in line and "inside.py" in line for line in said), said
    equal(slurm.runs / name, reference)


def test_an_array_of_two_sizes_over_two_nodes(slurm) -> None:
    job = slurm.train("sizes", "cluster.gpus_per_node=2", "model.dim=32,64", steps=30)
    assert [slurm.end(job, index) for index in (0, 1)] == ["COMPLETED", "COMPLETED"], slurm.log("sizes")
    for dim in (32, 64):
        assert (slurm.runs / "sizes" / f"model.dim={dim}" / "summary.json").is_file()
    where = {slurm.node(job, index) for index in (0, 1)}
    assert where <= {"n1", "n2"}


def test_the_script_of_a_dry_run_submitted_by_hand_trains_the_same_run(slurm, reference: Path) -> None:
    script = slurm.script("by-hand", *PAIR, steps=STEPS)
    (slurm.runs / "by-hand" / "slurm").mkdir(parents=True)
    job = int(slurm.ask("sbatch", "--parsable", str(script)).split(";")[0])
    assert slurm.end(job) == "COMPLETED", slurm.log("by-hand")
    equal(slurm.runs / "by-hand", reference)
