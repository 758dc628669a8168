"""packtrain evaluate tasks=…: checkpoint + task files → likelihoods and texts → figures beside the paper's → JSON"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from packtrain.errors import UserError
from packtrain.evaluation.tasks import result as results
from packtrain.evaluation.tasks.answerer import ModelAnswerer
from packtrain.evaluation.tasks.requests import Answerer
from packtrain.evaluation.tasks.runner import Prepared, Watch, part_of, prepare, result, run_task
from packtrain.evaluation.tasks.scoring import Judge, Surroundings
from packtrain.evaluation.tasks.spec import TaskSpec, load_file
from packtrain.evaluation.tasks.spool import Spool, discard
from packtrain.jobs.evaluate_job import EvaluateJob
from packtrain.jobs.opening import Ready, open_model
from packtrain.jobs.telling import say, watched
from packtrain.model.compute import pick_device
from packtrain.parallel.processes import World, only_first_speaks, start, stop

Made = dict[str, Any]


def run(job: EvaluateJob, answerer: Callable[[Ready], Answerer] | None = None) -> None:
    """Prints the table and writes the record. `answerer` stands in for the model (an oracle).

    Raises `UserError` for every mistake in a task or its data before the model is read.
    """
    world = start(pick_device(job.device).type)
    only_first_speaks(world)
    try:
        _run(job, world, answerer)
    finally:
        stop()


def _run(job: EvaluateJob, world: World, answerer: Callable[[Ready], Answerer] | None) -> None:
    specs = specs_of(job)
    ready = world.agree(lambda: open_model(job.checkpoint, job.precision, job.device, job.tokenizer, say))
    made = world.agree(lambda: made_from(job, ready))
    output = Path(job.output) if job.output else default_output(job.checkpoint)
    before = world.agree(lambda: earlier(output, made, job.overwrite))
    data_dir = Path(job.data_dir) if job.data_dir else None
    allowed = job.allow_code_execution
    around = Surroundings(data_dir, job.skip_malformed, allowed, str(job.device), job.seed, say, judges(job))
    tasks = world.agree(
        lambda: [task for name, spec in specs.items() for task in prepare(name, spec, around, job.limit)]
    )
    identities = {task.key: identity_of(task, made) for task in tasks}
    done = {key: found for key, found in before.items() if identities.get(key, found["identity"]) == found["identity"]}
    if job.overwrite:
        done = {key: found for key, found in done.items() if key not in identities}
    left = [task for task in tasks if task.key not in done]
    if left:
        model = answerer(ready) if answerer else asked_model(job, ready)
        for task in left:
            lines = share(task, model, identities[task.key], output, world)
            found = world.on_first(lambda task=task, lines=lines: result(task, lines, identities[task.key]).record())
            done[task.key] = found
            if world.first:
                record = {"checkpoint": job.checkpoint, "made_from": made, "tasks": done}
                results.write(output, record)
    elif world.first:
        print(f"{output} is done: same checkpoint, same tasks, same data (overwrite=true asks again)\n")
    if world.first:
        discard(part_of(output))
        asked = {task.key: done[task.key] for task in tasks}
        print(f"{results.table(asked, specs)}\n{notes(asked, specs)}\nevery item: {output}")


def share(task: Prepared, model: Answerer, identity: str, output: Path, world: World) -> dict[int, Any]:
    """The lines of all ranks, on every rank."""
    spool = Spool(part_of(output), task.key, identity, world.rank)
    own = world.agree(lambda: run_task(task, model, spool, bar(world), world.rank, world.size))
    lines: dict[int, Any] = {}
    for found in world.gather(own):
        lines |= found
    return lines


def specs_of(job: EvaluateJob) -> dict[str, TaskSpec]:
    specs = dict(job.tasks)
    for path in job.task_file:
        specs |= load_file(Path(path))
    return specs


def asked_model(job: EvaluateJob, ready: Ready) -> Answerer:
    return ModelAnswerer(ready.decoder(), ready.tokenizer, length(job, ready), job.batch_tokens, job.seed)


def judges(job: EvaluateJob) -> Callable[[str], Judge]:
    """How a task opens a second model, by what a user calls it."""

    def found(path: str) -> Judge:
        ready = open_model(path, None, job.device, None, say)
        return Judge(
            ready.sha256,
            lambda: ModelAnswerer(ready.decoder(), ready.tokenizer, ready.length, job.batch_tokens, job.seed),
        )

    return found


def length(job: EvaluateJob, ready: Ready) -> int:
    """The context of this evaluation. Raises `UserError` for one that the model was not made for."""
    if job.sequence_length and job.sequence_length > ready.longest:
        raise UserError(
            f"sequence_length={job.sequence_length} is longer than the model's max_sequence_length={ready.longest}"
        )
    return job.sequence_length or ready.length


def made_from(job: EvaluateJob, ready: Ready) -> Made:
    """The model, and all else that every task's figures depend on."""
    return {
        "model_sha256": ready.sha256,
        "tokenizer_fingerprint": ready.tokenizer.fingerprint,
        "context": length(job, ready),
        "precision": job.precision,
        "seed": job.seed,
    }


def identity_of(task: Prepared, made: Made) -> str:
    return hashlib.sha256(f"{task.identity} {sorted(made.items())}".encode()).hexdigest()


def default_output(checkpoint: str) -> Path:
    """tasks.json in the run's folder, or in that of a quantised model."""
    path = Path(checkpoint)
    return (path.parent.parent if path.parent.name == "checkpoints" else path) / "tasks.json"


def earlier(output: Path, made: Made, overwrite: bool) -> dict[str, Any]:
    """The tasks that `output` holds of the same model. Raises `UserError` where it holds something else, which only
    `overwrite` takes away."""
    if output.is_dir():
        raise UserError(f"output={output} is a folder; give the file's name too, such as {output / 'tasks.json'}")
    results.check_writable(output)
    try:
        found = results.read(output)
    except UserError:
        if not overwrite:
            raise
        found = None
    if found and found["made_from"] != made and not overwrite:
        other = ", ".join(key for key in made if found["made_from"].get(key) != made[key])
        raise UserError(
            f"{output} holds results of another model ({other} differ); give another output=, or overwrite=true"
        )
    return found["tasks"] if found and found["made_from"] == made else {}


def notes(tasks: dict[str, Any], specs: dict[str, TaskSpec]) -> str:
    """What a reader of the table must know."""
    lines = [f"{name}: {spec.note}" for name, spec in specs.items() if spec.note]
    for key, found in tasks.items():
        if found["cut"]:
            lines.append(
                f"{key}: {found['cut']} of {found['n']} prompts were longer than the context and cut from the left"
            )
        if found["skipped"]:
            lines.append(
                f"{key}: {len(found['skipped'])} malformed rows were left out, the first: {found['skipped'][0]}"
            )
    return "".join(f"note: {line}\n" for line in lines)


def bar(world: World) -> Watch:
    """A progress bar over this rank's batches, shown by rank 0."""
    return lambda found, total, key: watched(found, total, f"evaluate {key}") if world.first else found
