"""packtrain evaluate: checkpoint + held-out shards → loss, bits per byte beside two baselines → evaluation.json

With tasks= it asks the tasks instead: `jobs.evaluate_tasks`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from packtrain.checkpoint.directory import read_meta
from packtrain.checkpoint.load import load_model
from packtrain.checkpoint.weights import weights_digest
from packtrain.data.integrity import Integrity
from packtrain.data.manifest import Manifest
from packtrain.data.remote_shards import local_pack
from packtrain.errors import UserError
from packtrain.evaluation.comparison import compare
from packtrain.evaluation.domain import Watch, evaluate_domain, scored_domains
from packtrain.evaluation.tasks import result as results
from packtrain.jobs import evaluate_harness, evaluate_tasks
from packtrain.jobs.evaluate_job import EvaluateJob
from packtrain.jobs.opening import find_checkpoint, load_tokenizer
from packtrain.jobs.telling import say, watched
from packtrain.model.compute import DTYPES, pick_device
from packtrain.parallel.processes import refuse_several
from packtrain.report.reading import read_run
from packtrain.report.tables import evaluation_table


def run(job: EvaluateJob) -> None:
    """Prints the table and writes evaluation.json. Raises `UserError` where tokenizer, shards and model mismatch."""
    if job.harness == "lm_eval":
        evaluate_harness.run(job)
        return
    if job.tasks or job.task_file:
        evaluate_tasks.run(job)
        return
    if job.data_dir or job.limit or job.allow_code_execution:
        raise UserError("data_dir, limit and allow_code_execution are for tasks: say which, with tasks=[NAME]")
    refuse_several("held-out text is scored by one process; leave torchrun out (tasks=NAME uses all ranks)")
    if job.precision in ("int8", "int4"):
        raise UserError(
            f"precision={job.precision}: held-out text is scored in fp32 or bf16; packtrain quantise tells what "
            f"{job.precision} costs in perplexity, and tasks=NAME are asked in it"
        )
    precision: Literal["fp32", "bf16"] = "bf16" if job.precision == "bf16" else "fp32"
    device = pick_device(job.device)
    checkpoint = find_checkpoint(job.checkpoint, say)
    run_dir = checkpoint.parent.parent
    config = read_run(run_dir).config if (run_dir / "config.yaml").is_file() else {}
    meta = read_meta(checkpoint)
    pack = find_pack(job.shards, config)
    manifest = Integrity(pack).wait()
    manifest.check_tokenizer(meta["tokenizer_fingerprint"], f"the tokenizer of {checkpoint}")
    if manifest.fingerprint != meta.get("data_fingerprint"):
        say(f"note: {pack} is not what this model was trained on; its held-out text may have been trained on")
    length = (
        job.sequence_length or config.get("data", {}).get("sequence_length") or meta["model"]["max_sequence_length"]
    )
    made_from = {
        "model_sha256": weights_digest(meta),
        "data_fingerprint": manifest.fingerprint,
        "tokenizer_fingerprint": manifest.tokenizer_fingerprint,
        "sequence_length": length,
        "precision": precision,
    }
    output = Path(job.output) if job.output else run_dir / "evaluation.json"
    done = None if job.overwrite else earlier(output)
    if done and done["made_from"] == made_from:
        print(f"{evaluation_table(done)}\n\n{output} is done: same checkpoint, same data (overwrite=true scores again)")
        return
    results.check_writable(output)
    say(f"scoring the held-out text of {pack}; tasks=NAME asks a task")
    tokenizer = load_tokenizer(job.tokenizer, checkpoint, meta["tokenizer_fingerprint"])
    model, _ = load_model(checkpoint, DTYPES[precision], device)
    domains = scored_domains(manifest)
    if not domains:
        raise UserError(f"{pack} holds no held-out text; pack with held_out=0.05")
    found = {
        name: evaluate_domain(model, pack, manifest, name, tokenizer, length, job.batch_size, device, bar(name))
        for name in domains
    }
    evaluation = {
        "checkpoint": str(checkpoint),
        "step": meta["step"],
        "trained_tokens": meta["tokens"],
        "data": str(pack),
        "made_from": made_from,
        **compare(found, mixture_weights(config, manifest)),
    }
    results.write(output, evaluation)
    print(f"{evaluation_table(evaluation)}\n\nevery figure: {output}")


def find_pack(given: str | None, config: dict[str, Any]) -> Path:
    """The shards to score: those named, or of the run that is named, else those of the run's own configuration."""
    if given and (Path(given) / "config.yaml").is_file():
        given, config = None, read_run(Path(given)).config
    path = given or config.get("data", {}).get("path")
    if not path:
        raise UserError("which held-out text? give shards=DIR, a folder that packtrain pack wrote")
    return local_pack(str(path))


def mixture_weights(config: dict[str, Any], manifest: Manifest) -> dict[str, float]:
    """The run's sampling weights; where it named none, each domain by its training tokens, as training does."""
    given = config.get("data", {}).get("weights") or {}
    return given or {name: float(domain.train.tokens) for name, domain in manifest.domains.items()}


def earlier(output: Path) -> dict[str, Any] | None:
    """The evaluation that lies at `output`. Raises `UserError` for a file that is something else: not replaced."""
    if not output.exists():
        return None
    try:
        found = json.loads(output.read_text(encoding="utf-8"))
        if {"made_from", "domains"} <= found.keys():
            return found
    except (OSError, ValueError, AttributeError):
        pass
    raise UserError(f"{output} exists and is no evaluation of packtrain; give another output=, or overwrite=true")


def bar(name: str) -> Watch:
    return lambda found, total: watched(found, total, f"evaluate {name}")
