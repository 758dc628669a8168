"""packtrain evaluate harness=lm_eval: our model and our tasks, lm-eval's evaluator → its figures → JSON"""

from __future__ import annotations

import importlib
import importlib.metadata
from contextlib import suppress
from pathlib import Path
from typing import Any

from packtrain.errors import UserError
from packtrain.evaluation.tasks import result as results
from packtrain.evaluation.tasks.answerer import ModelAnswerer
from packtrain.evaluation.tasks.runner import part_of, prepare
from packtrain.evaluation.tasks.scoring import Surroundings
from packtrain.evaluation.tasks.spool import discard
from packtrain.jobs.evaluate_job import EvaluateJob
from packtrain.jobs.evaluate_tasks import default_output, length, made_from, specs_of
from packtrain.jobs.opening import open_model
from packtrain.jobs.telling import say
from packtrain.parallel.processes import refuse_several
from packtrain.report.tables import text_table

HEADERS = ("task", "figure", "n", "value", "± s.e.")


def run(job: EvaluateJob) -> None:
    """Prints lm-eval's figures and writes them with every item's likelihoods. Raises `UserError`: lm-eval is not
    installed, several processes, a task that lm-eval cannot say."""
    refuse_several("harness=lm_eval runs in one process; leave torchrun out, or leave harness out to use all ranks")
    specs = specs_of(job)
    if not specs and not job.harness_tasks:
        raise UserError("harness=lm_eval: which tasks? give tasks=[…], or harness_path=DIR with harness_tasks=[…]")
    harness = load()
    ready = open_model(job.checkpoint, job.precision, job.device, job.tokenizer, say)
    output = Path(job.output) if job.output else default_output(job.checkpoint).with_name("tasks-lm_eval.json")
    if output.exists() and not job.overwrite:
        raise UserError(f"{output} exists; give another output=, or overwrite=true")
    results.check_writable(output)
    data_dir = Path(job.data_dir) if job.data_dir else None
    around = Surroundings(data_dir, job.skip_malformed, seed=job.seed, say=say)
    folder = part_of(output) / "lm_eval"
    try:
        tasks = [task for name, spec in specs.items() for task in prepare(name, spec, around, job.limit)]
        names = {harness.export_task(task, folder): task.key for task in tasks}
        names |= {name: name for name in job.harness_tasks}
        model = ModelAnswerer(ready.decoder(), ready.tokenizer, length(job, ready), job.batch_tokens, job.seed)
        folders = [folder] * bool(tasks) + [Path(path) for path in (job.harness_path,) if path]
        found = harness.run(harness.HarnessModel(model), list(names), folders, job.limit)
        record = {
            "checkpoint": job.checkpoint,
            "made_from": made_from(job, ready) | {"lm_eval": importlib.metadata.version("lm_eval")},
            "tasks": {key: task_record(found, name) for name, key in names.items()},
        }
        results.write(output, record)
    finally:
        discard(folder)
        with suppress(OSError):  # not empty: what a native evaluation with this output= has done and will go on with
            part_of(output).rmdir()
    rows = [
        (key, name, str(task["n"]), results.shown(figure["value"], 1, 4), results.shown(figure["stderr"], 1, 4))
        for key, task in record["tasks"].items()
        for name, figure in task["figures"].items()
    ]
    print(f"{text_table(HEADERS, rows, left=(0, 1))}\n\nevery item: {output}")


def load() -> Any:
    """`evaluation.harness`, which needs lm-eval."""
    try:
        return importlib.import_module("packtrain.evaluation.harness")
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("packtrain"):
            raise
        raise UserError(f"harness=lm_eval needs {error.name}: pip install 'packtrain[eval]'") from error


def task_record(found: dict[str, Any], name: str) -> dict[str, Any]:
    """lm-eval's `acc,none` and `acc_stderr,none` as figures, its samples as items."""
    values = found["results"][name]
    items = [
        {"index": sample["doc_id"], "gold": sample["target"], "answers": [list(r) for r in sample["filtered_resps"]]}
        for sample in sorted(found["samples"][name], key=lambda sample: sample["doc_id"])
    ]
    figures = {}
    for key, value in values.items():
        metric, _, way = key.partition(",")
        if way and not metric.endswith("_stderr") and isinstance(value, (int, float)):
            error = values.get(f"{metric}_stderr,{way}")
            figures[metric] = {"value": value, "stderr": error if isinstance(error, (int, float)) else None}
    return {"n": len(items), "figures": figures, "items": items}
