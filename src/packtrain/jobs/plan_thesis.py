"""a target loss and tokens to serve → sizes trained longer or shorter → the cheapest to train, and in total

With a GPU the costs are GPU-hours: training by the speed model on the job's cluster, serving by the decoding roofline
(`estimate/serving.py`); without one, FLOPs.
"""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packtrain.errors import UserError
from packtrain.estimate.scaling import Law
from packtrain.estimate.serving import serving
from packtrain.estimate.thesis import Candidate, Comparison, compare, ladder, overtraining
from packtrain.jobs.plan_figures import find_gpu, make_plan
from packtrain.jobs.plan_law import read_law
from packtrain.model.config import ModelConfig, parameter_count

if TYPE_CHECKING:
    from packtrain.jobs.plan_job import PlanJob


def answer(job: PlanJob) -> tuple[dict[str, Any], str]:
    """The comparison as a dictionary and as text; writes `picture` where one is asked for."""
    assert job.inference_tokens is not None
    law = read_law(job.law)
    gpu = find_gpu(job)
    loss = job.target_loss or law.loss(parameter_count(job.model), job.data.tokens)
    most = math.log(job.model.vocabulary)
    if loss >= most:
        raise UserError(
            f"target_loss={loss:g}: a model that has learnt nothing has {most:.2f}, the logarithm of its vocabulary; "
            "give a lower one"
        )

    def training(model: ModelConfig, tokens: float) -> float | None:
        data = replace(job.data, tokens=max(int(tokens), job.data.batch_tokens))
        return make_plan(replace(job, model=model, data=data, sequences_per_gpu=None))["gpu_hours"]

    def serve(model: ModelConfig, tokens: float) -> float | None:
        found = serving(model, job.serving_precision, job.serving_context, job.serving_sequences, gpu)
        rate = found.tokens_per_second_per_gpu
        return tokens / rate / 3600 if rate else None

    hours = (training, serve) if gpu else (None, None)
    found = compare(law, ladder(job.model), loss, job.inference_tokens, job.data.sequence_length, *hours)
    result: dict[str, Any] = {
        "target_loss": loss,
        "inference_tokens": job.inference_tokens,
        "law": asdict(law),
        "unit": found.unit,
        "candidates": [asdict(c) | {"total": c.total} for c in found.candidates],
        "unreachable": list(found.unreachable),
        "cheapest_to_train": found.cheapest_to_train,
        "cheapest": found.cheapest,
        "price_per_gpu_hour": job.cluster.price_per_gpu_hour,
        "overtraining_of_llama": overtraining(law),
    }
    if job.picture:
        from packtrain.jobs.plan_picture import draw

        result["picture"] = str(draw(found, law, Path(job.picture)))
    return result, as_text(job, law, found, result)


def as_text(job: PlanJob, law: Law, found: Comparison, result: dict[str, Any]) -> str:
    price = job.cluster.price_per_gpu_hour
    hours = found.unit == "GPU-hours"

    def cost(value: float) -> str:
        return f"{value:,.0f}" if hours else f"{value:.3g}"

    lines = [
        f"loss {found.loss:.4f} by {law.source}; then {job.inference_tokens:.3g} tokens served"
        + (f" in {job.serving_precision}, {job.serving_sequences} at once" if hours else ""),
        "",
        f"{'size':>6} {'parameters':>16} {'tokens':>9} {'over optimum':>12} "
        f"{'training':>14} {'serving':>14} {'together':>14}  {found.unit}",
    ]
    for c in found.candidates:
        mark = _mark(c, found)
        lines.append(
            f"{c.name:>6} {c.parameters:>16,} {c.tokens:>9.3g} {c.overtraining:>11.2f}x "
            f"{cost(c.training):>14} {cost(c.serving):>14} {cost(c.total):>14}  {mark}".rstrip()
        )
    if found.unreachable:
        lines.append(f"never reach it: {', '.join(found.unreachable)}")
    best = next(c for c in found.candidates if c.name == found.cheapest)
    money = f", {price * best.total:,.0f} at {price:g} a GPU-hour" if price and hours else ""
    lines += [
        "",
        f"cheapest to train: {found.cheapest_to_train}; cheapest in all: {found.cheapest}, trained on "
        f"{best.tokens:.3g} tokens, {best.overtraining:.2f} times its compute-optimal number{money}",
        "",
        "LLaMA itself   tokens a parameter   over this law's optimum   over 20 a parameter",
    ]
    for name, row in result["overtraining_of_llama"].items():
        lines.append(
            f"{name:>12} {row['tokens_per_parameter']:>20.1f} {row['over_law']:>24.2f}x {row['over_rule']:>20.2f}x"
        )
    return "\n".join(lines)


def _mark(candidate: Candidate, found: Comparison) -> str:
    marks = {found.cheapest_to_train: "cheapest to train"}
    marks[found.cheapest] = "cheapest in all" if found.cheapest not in marks else "cheapest to train, and in all"
    return marks.get(candidate.name, "")
