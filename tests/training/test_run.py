"""One run's life: it trains, is finished, falls back from a damaged checkpoint, refuses to be another run"""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback
from safetensors import SafetensorError

from packtrain.data.manifest import load_manifest
from packtrain.training.events import read_events


def rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_run_leaves_what_the_contract_says_and_learns(train) -> None:
    outcome = train()
    assert outcome.code == 0, outcome.err
    for name in ("config.yaml", "metrics.csv", "summary.json", "tokenizer.model", "checkpoints"):
        assert (outcome.run_dir / name).exists(), name
    table = rows(outcome.run_dir)
    assert [int(row["step"]) for row in table] == list(range(1, 21))
    assert int(table[-1]["tokens"]) == 5120
    assert float(table[-1]["train/loss"]) < float(table[0]["train/loss"]) - 0.5
    assert table[-1]["val/loss/a"] and table[-1]["val/perplexity/b"] and table[-1]["carbon/energy_kwh"]
    summary = json.loads((outcome.run_dir / "summary.json").read_text())
    assert summary["finished"] and summary["step"] == 20 and summary["tokens"] == 5120
    assert summary["energy_source"] in ("measured", "rated", "guessed")
    assert summary["mfu_convention"] == "6N+attention" and 0 < summary["mfu"] < 1


def test_bits_a_byte_are_the_bits_of_a_token_times_the_tokens_of_a_byte(train, pack: Path) -> None:
    last = rows(train("+data.weights.a=1").run_dir)[-1]
    held_out = load_manifest(pack).domain("a").held_out
    bits = float(last["val/loss/a"]) / math.log(2) * held_out.tokens / held_out.bytes
    assert float(last["val/bits_per_byte"]) == pytest.approx(bits) and held_out.tokens != held_out.bytes


def test_validation_is_rare_in_a_run_too_short_for_it(train) -> None:
    scored = [int(row["step"]) for row in rows(train().run_dir) if row["val/loss"]]
    assert scored == [20]  # 5 120 tokens trained, about 1 100 held out: one time
    often = train("callbacks.domain_loss.limit_tokens=50", name="often")
    assert [int(row["step"]) for row in rows(often.run_dir) if row["val/loss"]] == list(range(1, 21))


def test_tensorboard_has_the_loss_against_steps_and_against_tokens(train) -> None:
    run_dir = train().run_dir
    files = list(run_dir.glob("events.out.tfevents.*"))
    found = {(v.tag, e.step) for file in files for e in read_events(file) for v in e.summary.value}
    assert ("train/loss", 20) in found and ("train/loss_vs_tokens", 5120) in found
    assert ("val/loss/a", 20) in found and ("val/loss/a_vs_tokens", 5120) in found
    for tag in ("train/lr", "train/grad_norm", "throughput/tokens_per_second", "throughput/step_seconds",
                "val/perplexity/b", "val/loss", "carbon/energy_kwh", "carbon/co2eq_g"):  # fmt: skip
        assert (tag, 20) in found, tag


def test_a_run_that_another_process_trains_is_refused_and_left_alone(train, tmp_path: Path) -> None:
    from packtrain.lock import only_process

    with only_process(tmp_path / "runs" / "r"):
        outcome = train()
        assert outcome.code == 2 and f"is being trained by process {os.getpid()}" in outcome.err
        assert not (outcome.run_dir / "metrics.csv").exists()
    assert train().code == 0


def test_a_finished_run_says_so_and_does_nothing(train) -> None:
    first = train()
    before = {file: file.stat().st_mtime_ns for file in first.run_dir.rglob("*")}
    again = train()
    assert again.code == 0 and "is finished" in again.out and "nothing to do" in again.out
    assert {file: file.stat().st_mtime_ns for file in first.run_dir.rglob("*")} == before


def test_a_run_that_was_killed_between_its_last_checkpoint_and_its_summary_is_finished(train) -> None:
    run_dir = train().run_dir
    before = json.loads((run_dir / "summary.json").read_text())
    (run_dir / "summary.json").unlink()
    again = train()
    assert again.code == 0 and "is finished" in again.out, again.err
    after = json.loads((run_dir / "summary.json").read_text())
    assert after.keys() == before.keys()
    for key in ("finished", "step", "tokens", "train_loss", "validation", "mixture", "spikes", "parameters"):
        assert after[key] == before[key], key
    assert len(rows(run_dir)) == 20


class StopAfter(Callback):
    """Asks for a stop as Ctrl-C does, or as a cluster that takes its nodes back (SIGTERM)."""

    def __init__(self, step: int, number: int = signal.SIGINT) -> None:
        self.step, self.number = step, number

    def on_train_batch_start(self, trainer, *_) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)


STOP = "+callbacks.stop={_target_: tests.training.test_run.StopAfter, step: %d}"


def stopped(train, step: int = 12, name: str = "r"):
    outcome = train(STOP % step, name=name)
    assert outcome.code == 130, outcome.err
    return outcome


def test_sigterm_saves_says_so_and_asks_the_batch_script_for_a_requeue(train, tmp_path: Path, monkeypatch) -> None:
    """Lightning's own handler would end the run with exit code 0, which a cluster takes for a finished one."""
    monkeypatch.setenv("PACKTRAIN_NOTE", str(tmp_path / "note"))
    outcome = train("+callbacks.stop={_target_: tests.training.test_run.StopAfter, step: 2, number: 15}")
    assert outcome.code == 130 and "stopped at step 3 of 20; the same command continues it" in outcome.out
    assert (tmp_path / "note").read_text().endswith("SIGTERM: saved at step 3 of 20\n")
    assert (tmp_path / "note").read_text().startswith("requeue: rank 0 on ")


def test_ctrl_c_finishes_the_step_saves_and_the_same_command_continues_bitwise(train) -> None:
    outcome = stopped(train, 12)
    assert "stopped at step 13 of 20; the same command continues it" in outcome.out
    assert (outcome.run_dir / "checkpoints" / "step-00000013" / "checkpoint.json").exists()
    again = train()
    assert again.code == 0 and "continues after step 13" in again.out
    whole = train(name="whole")
    pick = [(row["step"], row["train/loss"], row["val/loss"]) for row in rows(again.run_dir)]
    assert pick == [(row["step"], row["train/loss"], row["val/loss"]) for row in rows(whole.run_dir)]


@pytest.mark.parametrize("how", ["truncated", "missing file", "bit flipped", "no marker"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_with_a_line(train, how: str) -> None:
    run_dir = stopped(train, 12).run_dir
    last = run_dir / "checkpoints" / "step-00000013"
    state = last / "state.pt"
    if how == "truncated":
        state.write_bytes(state.read_bytes()[:-100])
    elif how == "missing file":
        state.unlink()
    elif how == "bit flipped":
        content = bytearray(state.read_bytes())
        content[len(content) // 2] ^= 1
        state.write_bytes(content)
    else:
        (last / "checkpoint.json").unlink()
    again = train()
    assert again.code == 0, again.err
    assert "step-00000013 is damaged" in again.out and "falling back to the one before it" in again.out
    assert "continues after step 10" in again.out
    assert [int(row["step"]) for row in rows(run_dir)] == list(range(1, 21))


def test_a_run_whose_checkpoints_are_all_damaged_is_not_started_over_unasked(train) -> None:
    run_dir = stopped(train, 12).run_dir
    for state in run_dir.glob("checkpoints/*/state.pt"):
        state.write_bytes(state.read_bytes()[:-1])
    before = (run_dir / "metrics.csv").read_bytes()
    again = train()
    assert again.code == 1 and "every checkpoint is damaged" in again.err and "another name=" in again.err
    assert "and there is none before it" in again.out
    assert (run_dir / "metrics.csv").read_bytes() == before


def test_a_disk_that_fills_during_a_save_is_one_line_and_the_run_goes_on_later(train, monkeypatch) -> None:
    from packtrain.training import checkpoint_io

    real, calls = checkpoint_io.save_file, []

    def full(*arguments) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        real(*arguments)

    monkeypatch.setattr(checkpoint_io, "save_file", full)
    outcome = train()
    assert outcome.code == 1 and "could not write checkpoint step-00000015" in outcome.err
    said = [line for line in outcome.err.splitlines() if not line.startswith("train step")]
    assert len(said) == 1 and "No space left on device" in said[0]
    assert train().code == 0


def test_energy_tokens_and_wall_time_survive_a_resume(train) -> None:
    run_dir = stopped(train, 12).run_dir
    before = float(rows(run_dir)[-1]["carbon/energy_kwh"])
    state = torch.load(run_dir / "checkpoints/step-00000013/state.pt", weights_only=True)["callbacks"]
    saved = next(value for key, value in state.items() if "Throughput" in key)
    assert train().code == 0
    summary = json.loads((run_dir / "summary.json").read_text())
    after = [float(row["carbon/energy_kwh"]) for row in rows(run_dir)]
    assert after == sorted(after) and after[-1] > before > 0
    assert summary["tokens"] == 5120
    assert summary["wall_seconds"] > saved["wall_seconds"] > 0 and summary["training_seconds"] > saved["seconds"] > 0


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("data.batch_tokens=512", "data.batch_tokens was 256, is 512"),
        ("model.dim=64", "model.dim was 32, is 64"),
        ("optim.learning_rate=0.1", "optim.learning_rate was 0.003, is 0.1"),
        ("data.tokens=10240", "data.tokens was 5120, is 10240"),
        ("seed=2", "seed was 1, is 2"),
        ("+data.weights.a=1.0", "data.weights.a was absent, is 1.0"),
    ],
)
def test_another_configuration_under_an_existing_name_is_refused(train, override: str, named: str) -> None:
    run_dir = train().run_dir
    before = (run_dir / "metrics.csv").read_bytes()
    again = train(override)
    assert again.code == 2 and named in again.err and "another name=" in again.err
    assert again.err.count("\n") == 1
    assert (run_dir / "metrics.csv").read_bytes() == before


def test_other_data_under_an_existing_name_is_refused(train, pack: Path) -> None:
    from tests.tiny import tiny_pack

    train()
    shutil.rmtree(pack)
    tiny_pack(pack, {"a": 5000, "b": 3000})
    again = train()
    assert again.code == 2 and "fingerprints.data was" in again.err


def test_callbacks_workers_and_micro_batch_may_change_under_a_run(train) -> None:
    stopped(train, 12)
    again = train("~callbacks.carbon", "~loggers.tensorboard", "data.micro_batch=2", "data.workers=1")
    assert again.code == 0, again.err


def test_the_last_checkpoints_and_every_nth_are_kept(train) -> None:
    run_dir = train("callbacks.checkpointing.keep_every=2").run_dir  # saved at 5, 10, 15, 20
    kept = sorted(path.name for path in (run_dir / "checkpoints").iterdir())
    assert kept == ["step-00000010", "step-00000015", "step-00000020"]


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_checkpoint(train, monkeypatch) -> None:
    from packtrain.model.llama import Llama

    real = Llama.loss

    def poisoned(*arguments):
        poisoned.calls += 1
        loss = real(*arguments)
        return loss * float("nan") if poisoned.calls > 2 * 12 else loss  # two micro-batches a step: the 13th step

    poisoned.calls = 0
    monkeypatch.setattr(Llama, "loss", poisoned)
    outcome = train()
    assert outcome.code == 1 and "loss nan" in outcome.err and "at step 13" in outcome.err
    assert "the last good checkpoint is" in outcome.err and "step-00000010" in outcome.err
    assert outcome.err.strip().splitlines()[-1].startswith("packtrain: ") and "Traceback" not in outcome.err
    kept = sorted(path.name for path in (outcome.run_dir / "checkpoints").iterdir())
    assert kept == ["step-00000005", "step-00000010"]
    assert int(rows(outcome.run_dir)[-1]["step"]) == 12


def test_smoke_saves_resumes_and_leaves_nothing(train, tmp_path: Path) -> None:
    outcome = train("smoke=true", "optim.warmup_steps=4000", "data.tokens=1000000")
    assert outcome.code == 0, outcome.err
    assert "continues after step 3" in outcome.out and "this configuration runs" in outcome.out
    assert list((tmp_path / "runs").iterdir()) == []


def test_bf16_keeps_fp32_parameters_and_follows_fp32(train) -> None:
    from safetensors.torch import load_file

    exact, rounded = train(name="fp32"), train("precision=bf16", name="bf16")
    assert rounded.code == 0, rounded.err
    weights = load_file(rounded.run_dir / "checkpoints/step-00000020/model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    last = [float(rows(outcome.run_dir)[-1]["train/loss"]) for outcome in (exact, rounded)]
    assert last[0] != last[1] and abs(last[0] - last[1]) < 0.05


def test_a_disk_that_fills_during_a_log_write_is_one_line_and_the_run_goes_on_later(train, monkeypatch) -> None:
    from packtrain.training.loggers import CsvLogger

    real, rows_written = CsvLogger.log_metrics, []

    def fills(self, metrics, step=None) -> None:
        rows_written.append(step)
        if len(rows_written) == 12:  # the kernel's own "no space left", met by the next row
            self.path.rename(self.path.with_name("kept.csv"))
            self.path.symlink_to("/dev/full")
        real(self, metrics, step)

    monkeypatch.setattr(CsvLogger, "log_metrics", fills)
    outcome = train()
    said = [line for line in outcome.err.splitlines() if not line.startswith("train step")]
    assert outcome.code == 1 and len(said) == 1, outcome.err
    assert "No space left on device" in said[0] and "free some space, then run the same command again" in said[0]
    run_dir = outcome.run_dir
    (run_dir / "metrics.csv").unlink()
    (run_dir / "kept.csv").rename(run_dir / "metrics.csv")
    assert train().code == 0
    steps = [int(row["step"]) for row in rows(run_dir)]
    assert steps == list(range(1, 21))


def test_held_out_text_of_a_domain_that_the_mixture_leaves_out_is_scored_where_asked(train) -> None:
    alone = ("+data.weights.a=1", "+data.weights.b=0", "callbacks.domain_loss.interval_tokens=5120")
    (last,) = [row for row in rows(train(*alone, name="alone").run_dir) if row["val/loss"]]
    assert "val/loss/b" not in last
    (last,) = [row for row in rows(train(*alone, "callbacks.domain_loss.every_domain=true").run_dir) if row["val/loss"]]
    assert last["val/loss/b"] != last["val/loss/a"] == last["val/loss"], "the mean is the mixture's"
