"""model + data + optimiser → checked → Lightning fit, from the newest intact checkpoint on → summary.json"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from packtrain.callbacks.interruption import Interruption
from packtrain.callbacks.meter import RunLog
from packtrain.callbacks.profile import Profile
from packtrain.callbacks.progress import Progress
from packtrain.callbacks.summary import read_summary, write_summary
from packtrain.checkpoint.directory import committed, newest_intact, read_meta
from packtrain.data.config import DataConfig
from packtrain.errors import Failure, UserError
from packtrain.estimate.cluster import ClusterConfig
from packtrain.jobs.smoke import run_smoke
from packtrain.model.attention_backends.choose import AttentionName
from packtrain.model.compute import DTYPES, Precision, pick_device
from packtrain.model.config import ModelConfig, parameter_count
from packtrain.model.engine import Engine, Recompute
from packtrain.model.initialisation import initialise
from packtrain.model.llama import Llama
from packtrain.training.identity import refuse_another_run, write_config
from packtrain.training.lock import only_process
from packtrain.training.loggers import Rewindable
from packtrain.training.module import LlamaModule
from packtrain.training.schedule import OptimConfig
from packtrain.training.setup import Setup, prepare
from packtrain.training.trainer import build_trainer


@dataclass(frozen=True)
class TrainJob:
    """One run in `run_dir`. `callbacks` and `loggers` are objects by name; `composed` is what they were made from."""

    name: str
    run_dir: str
    model: ModelConfig
    data: DataConfig
    optim: OptimConfig
    cluster: ClusterConfig
    runs_dir: str = "runs"
    input: str | None = None
    precision: Precision = "fp32"
    attention: AttentionName = "auto"
    recompute: Recompute = "manual"
    compile: bool = False
    device: str = "auto"
    seed: int = 1
    log_interval_tokens: float | None = None
    profile: bool = False
    smoke: bool = False
    callbacks: dict[str, Any] = field(default_factory=dict)
    loggers: dict[str, Any] = field(default_factory=dict)
    composed: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts = Path(self.name).parts
        if not parts or ".." in parts or Path(self.name).is_absolute():
            raise UserError(f"name={self.name}: expected the name of a folder inside runs_dir, e.g. name=first")


def run(job: TrainJob) -> None:
    """Start, continue or report the run; `smoke` tries the same configuration for five steps elsewhere."""
    if job.smoke:
        run_smoke(job, train)
    else:
        train(job)


def train(job: TrainJob, stop_at: int | None = None) -> dict[str, Any]:
    """Train to the end (or to step `stop_at`, as if stopped there); returns the summary.

    Raises `UserError` for what the user can mend before anything is written, `Failure` for a loss that is no number.
    """
    run_dir = Path(job.run_dir)
    device = pick_device(job.device)
    engine = Engine(job.attention, job.recompute, job.compile)
    engine.check(device)
    setup = prepare(job.model, job.data, job.optim, job.seed)
    config = _record(job, setup)
    refuse_another_run(run_dir, config)
    done = read_summary(run_dir)
    if done is not None:
        print(f"{run_dir} is finished: {done['step']} steps, {done['tokens']:,} tokens; nothing to do")
        return done
    with only_process(run_dir):
        write_config(run_dir, config)
        (run_dir / "tokenizer.model").write_bytes(setup.tokenizer)
        return _fit(job, setup, engine, device, stop_at)


def _fit(job: TrainJob, setup: Setup, engine: Engine, device: torch.device, stop_at: int | None) -> dict[str, Any]:
    run_dir, total = Path(job.run_dir), setup.steps.total
    checkpoint = newest_intact(run_dir)
    if checkpoint is None and committed(run_dir):
        raise Failure(
            f"{run_dir}: every checkpoint is damaged; start over under another name=, or after "
            f"packtrain runs delete={job.name}"
        )
    start = read_meta(checkpoint)["step"] if checkpoint else 0
    loggers = list(job.loggers.values())
    for logger in loggers:
        if isinstance(logger, Rewindable):
            logger.rewind(start)
    _announce(job, setup, start, engine.describe(device))

    model = Llama(setup.model, DTYPES[job.precision], engine)
    if checkpoint is None:
        initialise(model, job.seed)
    module = LlamaModule(model, job.optim, setup.steps, job.seed, str(run_dir), job.data.document_mask)
    log, interruption = RunLog(job.log_interval_tokens), Interruption()
    callbacks = [*job.callbacks.values(), log, interruption, Progress(log)]
    if job.profile:
        callbacks.append(Profile(run_dir))
    trainer = build_trainer(run_dir, device, stop_at or total, callbacks, loggers, setup.checkpoint_identity())
    try:
        trainer.fit(module, datamodule=setup.datamodule(), ckpt_path=str(checkpoint) if checkpoint else None)
    finally:
        interruption.restore()
    if interruption.stopped and trainer.global_step < total:
        print(f"{run_dir}: stopped at step {trainer.global_step} of {total}; the same command continues it", flush=True)
        interruption.leave(f"saved at step {trainer.global_step} of {total}")
        raise KeyboardInterrupt
    if trainer.global_step < total:
        if stop_at is None:
            raise Failure(f"{run_dir}: a callback stopped the run at step {trainer.global_step} of {total}")
        return {"step": trainer.global_step}
    facts = {"parameters": parameter_count(setup.model), "repetitions": setup.repetitions().repetitions}
    summary = write_summary(run_dir, trainer, module, facts)
    loss = summary.get("train_loss")
    print(f"{run_dir} is finished: {summary['step']} steps" + (f", train loss {loss:.4f}" if loss is not None else ""))
    return summary


def _record(job: TrainJob, setup: Setup) -> dict[str, Any]:
    """What config.yaml holds: everything composed, with what was found out while starting."""
    plain = dataclasses.replace(job, callbacks={}, loggers={}, composed={}, model=setup.model)
    typed = dataclasses.asdict(plain)
    typed["data"]["path"] = str(setup.shards.resolve())
    typed["optim"]["betas"] = list(job.optim.betas)
    del typed["composed"]
    for name in ("callbacks", "loggers"):
        typed[name] = job.composed.get(name, {})
    return {**typed, "fingerprints": setup.fingerprints}


def _announce(job: TrainJob, setup: Setup, start: int, engine: str) -> None:
    steps = setup.steps
    verb = f"continues after step {start}" if start else "starts"
    print(
        f"{job.run_dir} {verb}: {parameter_count(setup.model):,} parameters, {steps.total} steps of "
        f"{steps.batch_tokens:,} tokens ({steps.accumulation} × {steps.micro_batch} sequences of "
        f"{steps.sequence_length}), {job.precision}"
    )
    for line in (engine, *setup.repetitions().lines()):
        print(f"  {line}")
