"""model + data + optimiser → checked → Lightning fit, from the newest intact checkpoint on → summary.json"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from packtrain.callbacks.checkpointing import check_choice
from packtrain.callbacks.interruption import Interruption
from packtrain.callbacks.meter import RunLog
from packtrain.callbacks.profile import Profile
from packtrain.callbacks.progress import Progress
from packtrain.callbacks.summary import read_summary, write_summary
from packtrain.checkpoint.carry_on import find_source
from packtrain.checkpoint.directory import MARKER, committed, newest_intact, read_meta
from packtrain.data.manifest import TOKENIZER
from packtrain.data.masked import is_masked
from packtrain.errors import Failure, UserError
from packtrain.jobs.base import Base, base_folder, keep_base, open_base
from packtrain.jobs.dry_run import dry_run
from packtrain.jobs.smoke import run_smoke
from packtrain.jobs.train_job import TrainJob, record
from packtrain.jobs.train_start import announce, build
from packtrain.lock import only_process
from packtrain.model.compute import pick_device
from packtrain.model.config import parameter_count
from packtrain.model.engine import Engine
from packtrain.parallel.config import Degrees, check_tensor, degrees
from packtrain.parallel.mesh import make_mesh
from packtrain.parallel.processes import World, only_first_speaks, start, stop
from packtrain.report.reading import read_run
from packtrain.report.tables import summary_lines
from packtrain.training.identity import refuse_another_run, write_config
from packtrain.training.loggers import Rewindable
from packtrain.training.module import LlamaModule
from packtrain.training.parallel import Parallel
from packtrain.training.rewind import GoBack, Rewind, forget_abandoned
from packtrain.training.setup import Setup, prepare
from packtrain.training.trainer import build_trainer
from packtrain.training.versions import note_start


def run(job: TrainJob) -> None:
    """Start, continue or report the run; `smoke` tries the same configuration for five steps elsewhere."""
    if job.dry_run:
        dry_run(job)
    elif job.smoke:
        run_smoke(job, train)
    else:
        train(job)


def train(job: TrainJob, stop_at: int | None = None) -> dict[str, Any]:
    """Train to the end (or to step `stop_at`, as if stopped there); returns the summary.

    Raises `UserError` for what the user can mend before anything is written, `Failure` for a loss that is no number.
    """
    run_dir = Path(job.run_dir)
    world = start(
        torch.device(job.device.replace("auto", "cuda" if torch.cuda.is_available() else "cpu")).type,
        job.parallel.join_seconds,
        alone=bool(job.parallel.sharded),
    )
    only_first_speaks(world)
    try:
        return _train(job, run_dir, world, stop_at)
    finally:
        stop()


def _train(job: TrainJob, run_dir: Path, world: World, stop_at: int | None) -> dict[str, Any]:
    device, engine, setup, shape = world.agree(lambda: _check(job, world))
    config = record(job, setup)
    world.on_first(lambda: refuse_another_run(run_dir, config))
    done = world.share(read_summary(run_dir))
    if done is not None:
        print(f"{run_dir} is finished: {done['step']} steps, {done['tokens']:,} tokens; nothing to do")
        return done
    with ExitStack() as stack:
        world.on_first(lambda: _take(stack, run_dir, config, setup.tokenizer))
        mesh = make_mesh(shape, device.type) if world.flags is not None else None
        parallel = Parallel(world, mesh, job.parallel.accumulate_sharded)
        while True:
            rewinds = world.on_first(lambda: forget_abandoned(run_dir))
            try:
                return _fit(job, setup, engine, device, parallel, stop_at, rewinds)
            except GoBack as back:
                print(f"{run_dir}: {back}, past the batches around the spike", flush=True)
            gc.collect()  # the model that is left, before the next is made


def _check(job: TrainJob, world: World) -> tuple[torch.device, Engine, Setup, Degrees]:
    """What fits together; the same on every rank, but each looks at its own device."""
    device = pick_device(job.device)
    if world.size > 1 and device.type == "cuda":
        device = torch.device("cuda", torch.cuda.current_device())
    engine = Engine(job.attention, job.recompute, job.compile, fp8=job.fp8)
    if job.fp8 and job.precision != "bf16":
        raise UserError(f"fp8=true goes with precision=bf16, not {job.precision}: give precision=bf16")
    engine.check(device)
    check_choice(job.callbacks.values())
    shape = degrees(job.parallel, world.size)
    say = (lambda _: None) if job.quiet else print
    setup = prepare(job.model, job.data, job.optim, job.seed, shape.data, job.changes, say)
    check_tensor(setup.model, shape.tensor, job.data.sequence_length)
    engine = engine.suited(setup.model)
    if job.fp8 and shape.tensor > 1:
        raise UserError(f"fp8=true does not go with parallel.tensor={shape.tensor}: give parallel.tensor=1")
    if is_masked(setup.manifest) and shape.tensor > 1:
        raise UserError(f"the loss of responses alone does not go with parallel.tensor={shape.tensor}: give 1")
    if job.lora and (world.flags is not None or job.compile or job.fp8):
        raise UserError(
            "lora.rank runs on one device, without compile=true and fp8=true: leave them out, or give lora.rank=0"
        )
    if job.tuning is None and job.init_from is not None and not (Path(job.run_dir) / "config.yaml").exists():
        find_source(Path(job.init_from), setup.model, setup.fingerprints["tokenizer"])
    return device, engine, setup, shape


def _take(stack: ExitStack, run_dir: Path, config: dict[str, Any], tokenizer: bytes) -> None:
    """Rank 0 holds the run's folder until `stack` is left."""
    stack.enter_context(only_process(run_dir))
    write_config(run_dir, config)
    (run_dir / "tokenizer.model").write_bytes(tokenizer)


def _resume_from(job: TrainJob, run_dir: Path) -> Path | None:
    """The newest intact checkpoint; None where there never was one."""
    checkpoint = newest_intact(run_dir)
    if checkpoint is None and committed(run_dir):
        raise Failure(
            f"{run_dir}: every checkpoint is damaged; start over under another name=, or after "
            f"packtrain runs delete={job.name}"
        )
    return checkpoint


def _fit(
    job: TrainJob,
    setup: Setup,
    engine: Engine,
    device: torch.device,
    parallel: Parallel,
    stop_at: int | None,
    rewinds: Sequence[Rewind],
) -> dict[str, Any]:
    run_dir, total, world = Path(job.run_dir), setup.steps.total, parallel.world
    checkpoint = world.on_first(lambda: _resume_from(job, run_dir))
    begin = read_meta(checkpoint)["step"] if checkpoint else 0
    if world.first:
        note_start(run_dir, begin, torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu")
    loggers = list(job.loggers.values()) if world.first else []
    for logger in loggers:
        if isinstance(logger, Rewindable):
            logger.rewind(begin)
    for logger in loggers:
        logger.log_hyperparams(record(job, setup))
    if not job.quiet:
        announce(job, setup, begin, engine.describe(device), parallel)

    base = world.on_first(lambda: keep_base(_base(job, setup), run_dir)) if job.lora else None
    model = build(job, setup, engine, device, parallel, new=checkpoint is None)
    mask = job.data.document_mask
    responses = is_masked(setup.manifest)
    module = LlamaModule(
        model, job.optim, setup.steps, job.seed, str(run_dir), mask, parallel, setup.schedule, responses
    )
    module.quiet, module.strict_loading = job.quiet, not job.lora
    log, interruption = RunLog(job.log_interval_tokens), Interruption(world.any)
    callbacks = [
        *job.callbacks.values(),
        log,
        interruption,
        *([Progress(log)] if world.first and not job.quiet else []),
    ]
    if job.profile and world.first:
        callbacks.append(Profile(run_dir))
    identity = {**setup.checkpoint_identity(), **({"rewinds": len(rewinds)} if rewinds else {})}
    identity |= job.tuning.checkpoint_identity(base) if job.tuning else {}
    trainer = build_trainer(run_dir, device, stop_at or total, callbacks, loggers, identity, parallel)
    data = setup.datamodule(parallel.data_rank, rewinds)
    try:
        trainer.fit(module, datamodule=data, ckpt_path=str(checkpoint) if checkpoint else None)
    finally:
        interruption.restore()
    if interruption.stopped and trainer.global_step < total:
        print(f"{run_dir}: stopped at step {trainer.global_step} of {total}; the same command continues it", flush=True)
        interruption.leave(f"saved at step {trainer.global_step} of {total}")
        raise KeyboardInterrupt if world.first else world.follow(130)
    if trainer.global_step < total:
        if stop_at is None:
            raise Failure(f"{run_dir}: a callback stopped the run at step {trainer.global_step} of {total}")
        return {"step": trainer.global_step}
    facts: dict[str, Any] = {
        "parameters": parameter_count(setup.model), "repetitions": setup.repetitions().repetitions,
    }  # fmt: skip
    if job.tuning:
        facts["trained_parameters"] = setup.trained_parameters(job.tuning)
    summary = write_summary(run_dir, trainer, module, facts)
    world.gather(0)  # no rank leaves before the run is finished
    loss = summary.get("train_loss")
    print(f"{run_dir} is finished: {summary['step']} steps" + (f", train loss {loss:.4f}" if loss is not None else ""))
    if world.first and not job.quiet:
        for what, figure in summary_lines(read_run(run_dir)):
            print(f"  {what:<11} {figure}", flush=True)
    return summary


def _base(job: TrainJob, setup: Setup) -> Base:
    """What a fine-tuning begins with; once LoRA has kept it, that."""
    kept = base_folder(Path(job.run_dir))
    given = str(kept) if (kept / MARKER).exists() else job.init_from or ""
    return open_base(given, str(setup.shards / TOKENIZER))
