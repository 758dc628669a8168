"""shards + mixture + model + optimiser → Lightning fit, from the newest intact checkpoint on → summary.json"""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from packtrain.callbacks.interruption import Interruption
from packtrain.callbacks.meter import Meter, RunLog
from packtrain.callbacks.progress import Progress
from packtrain.checkpoint.directory import newest_intact, read_meta
from packtrain.checkpoint.load import model_to_meta
from packtrain.data.config import DataConfig
from packtrain.data.manifest import load_manifest
from packtrain.data.mixture import MixtureReport
from packtrain.errors import Failure, UserError
from packtrain.estimate.cluster import ClusterConfig
from packtrain.jobs.smoke import run_smoke
from packtrain.model.attention_backends.choose import AttentionName
from packtrain.model.compute import DTYPES, Precision, pick_device
from packtrain.model.config import ModelConfig, parameter_count
from packtrain.model.engine import Engine, Recompute
from packtrain.model.initialisation import initialise
from packtrain.model.llama import Llama
from packtrain.training.data import MixtureData, build_mixture
from packtrain.training.identity import refuse_another_run, write_config
from packtrain.training.loggers import Rewindable
from packtrain.training.module import LlamaModule
from packtrain.training.schedule import OptimConfig, check_warmup
from packtrain.training.steps import Steps, plan_steps
from packtrain.training.trainer import build_trainer

SUMMARY = "summary.json"


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
    smoke: bool = False
    callbacks: dict[str, Any] = field(default_factory=dict)
    loggers: dict[str, Any] = field(default_factory=dict)
    composed: dict[str, Any] = field(default_factory=dict)


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
    shards = _shards(job.data)
    manifest = load_manifest(shards)
    model_config = _with_vocabulary(job.model, manifest.vocab_size)
    if job.data.sequence_length > model_config.max_sequence_length:
        raise UserError(
            f"data.sequence_length={job.data.sequence_length} is longer than the model's "
            f"model.max_sequence_length={model_config.max_sequence_length}: shorten the one or raise the other"
        )
    steps = plan_steps(job.data)
    check_warmup(job.optim, steps.total)
    mixture = build_mixture(job.data, manifest, shards, steps, job.seed)
    device = pick_device(job.device)
    engine = Engine(job.attention, job.recompute, job.compile)
    engine.check(device)
    config = _record(job, model_config, shards, manifest.fingerprint, manifest.tokenizer_fingerprint)
    refuse_another_run(run_dir, config)
    if (done := _finished(run_dir)) is not None:
        print(f"{run_dir} is finished: {done['step']} steps, {done['tokens']:,} tokens; nothing to do")
        return done

    write_config(run_dir, config)
    (run_dir / "tokenizer.model").write_bytes((shards / "tokenizer.model").read_bytes())
    checkpoint = newest_intact(run_dir)
    start = read_meta(checkpoint)["step"] if checkpoint else 0
    loggers = list(job.loggers.values())
    for logger in loggers:
        if isinstance(logger, Rewindable):
            logger.rewind(start)
    repetitions = MixtureReport.of(mixture, steps.total_tokens, steps.sequence_length)
    _announce(job, steps, start, parameter_count(model_config), repetitions, engine.describe(device))

    model = Llama(model_config, DTYPES[job.precision], engine)
    module = LlamaModule(model, job.optim, steps, job.seed, str(run_dir), job.data.document_mask)
    if checkpoint is None:
        initialise(module.model, job.seed)
    log, interruption = RunLog(job.log_interval_tokens), Interruption()
    callbacks = [*job.callbacks.values(), log, interruption, Progress(log)]
    identity = {
        "model": model_to_meta(model_config),
        "batch_tokens": steps.batch_tokens,
        "seed": job.seed,
        "data_fingerprint": manifest.fingerprint,
        "tokenizer_fingerprint": manifest.tokenizer_fingerprint,
    }
    trainer = build_trainer(run_dir, device, stop_at or steps.total, callbacks, loggers, identity)
    data = MixtureData(job.data, manifest, shards, mixture, steps)
    try:
        trainer.fit(module, datamodule=data, ckpt_path=str(checkpoint) if checkpoint else None)
    finally:
        interruption.restore()
    if interruption.received is not None and trainer.global_step < steps.total:
        print(f"{run_dir}: stopped at step {trainer.global_step} of {steps.total}; the same command continues it")
        raise KeyboardInterrupt
    if trainer.global_step < steps.total:
        if stop_at is None:
            raise Failure(f"{run_dir}: a callback stopped the run at step {trainer.global_step} of {steps.total}")
        return {"step": trainer.global_step}
    return _summarise(run_dir, trainer, module, parameter_count(model_config), repetitions)


def _shards(data: DataConfig) -> Path:
    if data.path is not None:
        return Path(data.path)
    from packtrain.data.text_pipeline import ensure_text_shards  # the tokenizer's training, needed for data=text alone

    return ensure_text_shards(data)


def _with_vocabulary(model: ModelConfig, vocab_size: int) -> ModelConfig:
    if model.vocab_size not in (None, vocab_size):
        raise UserError(
            f"the model's vocabulary is {model.vocab_size}, the shards' tokenizer has {vocab_size} pieces: "
            f"set data.vocab_size={vocab_size}"
        )
    return dataclasses.replace(model, vocab_size=vocab_size)


def _record(job: TrainJob, model: ModelConfig, shards: Path, data: str, tokenizer: str) -> dict[str, Any]:
    """What config.yaml holds: everything composed, with what was found out while starting."""
    typed = dataclasses.asdict(dataclasses.replace(job, callbacks={}, loggers={}, composed={}, model=model))
    typed["data"]["path"] = str(shards.resolve())
    typed["optim"]["betas"] = list(job.optim.betas)
    for name in ("callbacks", "loggers", "composed"):
        typed[name] = job.composed.get(name, {})
    del typed["composed"]
    return {**typed, "fingerprints": {"data": data, "tokenizer": tokenizer}}


def _finished(run_dir: Path) -> dict[str, Any] | None:
    try:
        summary = json.loads((run_dir / SUMMARY).read_text())
    except (OSError, ValueError):
        return None
    return summary if summary.get("finished") else None


def _announce(
    job: TrainJob, steps: Steps, start: int, parameters: int, repetitions: MixtureReport, engine: str
) -> None:
    verb = f"continues after step {start}" if start else "starts"
    print(
        f"{job.run_dir} {verb}: {parameters:,} parameters, {steps.total} steps of {steps.batch_tokens:,} tokens "
        f"({steps.accumulation} × {steps.micro_batch} sequences of {steps.sequence_length}), {job.precision}"
    )
    for line in (engine, *repetitions.lines()):
        print(f"  {line}")


def _summarise(
    run_dir: Path, trainer: Trainer, module: LlamaModule, parameters: int, repetitions: MixtureReport
) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "finished": True,
        "step": trainer.global_step,
        "tokens": trainer.global_step * module.steps.batch_tokens,
        "parameters": parameters,
        "repetitions": repetitions.repetitions,
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    for callback in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
        if isinstance(callback, Meter):
            summary.update(callback.summarise(module))
    temporary = run_dir / (SUMMARY + ".tmp")
    temporary.write_text(json.dumps(summary, indent=1) + "\n")
    temporary.replace(run_dir / SUMMARY)
    loss = summary.get("train_loss")
    print(f"{run_dir} is finished: {summary['step']} steps" + (f", train loss {loss:.4f}" if loss is not None else ""))
    return summary
