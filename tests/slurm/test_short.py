"""A real SLURM, in the everyday tests wherever it is installed: submit, stop, requeue, resume; a crash is FAILED"""

import pytest


@pytest.mark.timeout(500)
def test_a_sweep_is_submitted_requeued_on_its_signal_and_ends_while_a_crash_is_failed_with_its_traceback(slurm) -> None:
    one_process = ("cluster.gpus_per_node=1", "+callbacks.slow._target_=tests.slurm.inside.Slow",
                   "+callbacks.slow.seconds=0.05")  # fmt: skip
    crash = ("+callbacks.crash._target_=tests.slurm.inside.Crash", "+callbacks.crash.step=3")
    job = slurm.train("s", *one_process, *crash, "+callbacks.crash.rank=0,1", steps=120)
    survivor = "s/+callbacks.crash.rank=1"  # there is no rank 1

    slurm.until(lambda: slurm.step(survivor) >= 2, "the second step")
    slurm.ask("scancel", "--signal=USR1", f"{job}_1")
    slurm.until(lambda: slurm.restarts(job, 1) == 1, "the requeue")
    assert slurm.end(job, 0) == "FAILED"
    assert slurm.end(job, 1) == "COMPLETED"

    log = slurm.log("s")
    assert "Traceback (most recent call last)" in log and "ArithmeticError: nobody foresaw this" in log
    assert slurm.restarts(job, 0) == 0, "a crash is not tried again"
    stopped = int(log.split(": stopped at step ")[1].split()[0])
    assert 2 <= stopped < 120 and f"continues after step {stopped}" in log
    assert (slurm.runs / survivor / "summary.json").is_file()
