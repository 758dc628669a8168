"""model + data + cluster + how it is split → what a run will need and cost, before anything runs

packtrain plan model=65b cluster=llama_paper               parameters, FLOPs, memory, speed, days, energy, carbon, money
packtrain plan inference_tokens=1e13                       which size is cheapest to train and serve   plan_thesis.py
packtrain plan calibrate run=NAME                          the efficiency that a measured run had      plan_calibrate.py
packtrain plan fit runs=[A,B,…]                            the scaling law of one's own sweep          plan_fit.py
packtrain plan carbon runs=[A,B,…]                         the paper's carbon table and one's runs     plan_carbon.py
packtrain plan finetune model=7b cluster.gpu=h100          memory of all weights and of LoRA           plan_finetune.py
packtrain plan published                                   the speed model beside published runs       plan_carbon.py
"""

from __future__ import annotations

import json
from typing import Any

from packtrain.errors import UserError
from packtrain.jobs.plan_job import PlanJob


def run(job: PlanJob) -> None:
    """Prints what `action` asks for, as a table or as JSON."""
    if job.action == "calibrate":
        from packtrain.jobs import plan_calibrate

        return show(job, *plan_calibrate.answer(job))
    if job.action == "fit":
        from packtrain.jobs import plan_fit

        return show(job, *plan_fit.answer(job))
    if job.action in ("carbon", "published"):
        from packtrain.jobs import plan_carbon

        return show(job, *(plan_carbon.carbon(job) if job.action == "carbon" else plan_carbon.published()))
    if job.action == "finetune":
        from packtrain.jobs import plan_finetune

        return show(job, *plan_finetune.answer(job))
    if job.inference_tokens is not None:
        from packtrain.jobs import plan_thesis

        return show(job, *plan_thesis.answer(job))
    if job.target_loss is not None:
        raise UserError(f"target_loss={job.target_loss:g} needs inference_tokens=…, the tokens that will be served")
    if job.picture is not None:
        raise UserError(f"picture={job.picture} is drawn of a comparison of sizes: give inference_tokens=… too")
    from packtrain.jobs import plan_figures, plan_text

    plan = plan_figures.make_plan(job)
    return show(job, plan, plan_text.as_text(plan))


def show(job: PlanJob, answer: dict[str, Any], text: str) -> None:
    try:
        told = json.dumps(answer, indent=2, allow_nan=False)
    except ValueError:
        raise UserError("a figure of this plan is beyond all numbers: give fewer tokens, or a lower price") from None
    print(told if job.format == "json" else text)
