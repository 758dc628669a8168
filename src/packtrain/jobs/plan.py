"""model + data + cluster → parameters, FLOPs, memory, days, energy, carbon: pure arithmetic, nothing is run

packtrain plan model=65b cluster=llama_paper
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from packtrain.data.config import DataConfig
from packtrain.errors import UserError
from packtrain.estimate.cluster import ClusterConfig
from packtrain.estimate.energy import co2eq_tonnes, gpu_energy_mwh
from packtrain.estimate.flops import Convention, flops_per_token
from packtrain.estimate.hardware import Gpu, by_name
from packtrain.estimate.memory import training_memory
from packtrain.estimate.throughput import PAPER_MFU, tokens_per_second
from packtrain.estimate.time import duration
from packtrain.model.config import ModelConfig, non_embedding_parameters, parameter_count


@dataclass(frozen=True)
class PlanJob:
    model: ModelConfig
    data: DataConfig
    cluster: ClusterConfig
    format: Literal["text", "json"] = "text"
    precision: Literal["bf16", "fp32"] = "bf16"
    convention: Convention = "6N+attention"
    mfu: float = PAPER_MFU
    sequences_per_gpu: int = 1
    input: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.mfu <= 1:
            raise UserError(f"mfu={self.mfu}: expected a share between 0 and 1")
        if self.sequences_per_gpu < 1:
            raise UserError(f"sequences_per_gpu={self.sequences_per_gpu}: expected at least 1")


def run(job: PlanJob) -> None:
    """Prints the plan as a table or as JSON."""
    plan = make_plan(job)
    print(json.dumps(plan, indent=2) if job.format == "json" else as_text(plan))


def make_plan(job: PlanJob) -> dict[str, Any]:
    """Every figure of the plan; None where it hangs on something unknown, and `unknown` says on what."""
    model, data, cluster = job.model, job.data, job.cluster
    gpus = cluster.gpus
    gpu = by_name(cluster.gpu) if cluster.gpu else None
    memory = training_memory(model, gpus, job.sequences_per_gpu * data.sequence_length, job.precision)
    flops = {name: flops_per_token(model, data.sequence_length, name) for name in ("6N", "6N+attention")}
    plan: dict[str, Any] = {
        "model": model.name,
        "parameters": parameter_count(model),
        "non_embedding_parameters": non_embedding_parameters(model),
        "tokens": data.tokens,
        "batch_tokens": data.batch_tokens,
        "steps": -(-data.tokens // data.batch_tokens),
        "sequence_length": data.sequence_length,
        "flops_per_token": flops,
        "flops_total": flops[job.convention] * data.tokens,
        "convention": job.convention,
        "weights_gib": memory.weights_gib,
        "gradients_gib": memory.gradients_gib,
        "optimizer_gib": memory.optimizer_gib,
        "activations_gib": memory.activations_per_gpu_gib,
        "memory_gib": memory.per_gpu_gib,
        "gpus": gpus,
        "gpu": gpu.name if gpu else None,
        "gpu_memory_gib": gpu.memory_gb * 1e9 / 2**30 if gpu else None,
        "fits": memory.per_gpu_gib <= gpu.memory_gb * 1e9 / 2**30 if gpu else None,
        "pue": cluster.pue,
        "kg_co2_per_kwh": cluster.kg_co2_per_kwh,
    }
    return plan | _time_and_energy(job, gpu, gpus, flops[job.convention])


def _time_and_energy(job: PlanJob, gpu: Gpu | None, gpus: int, flops: float) -> dict[str, Any]:
    if gpu is None or job.precision != "bf16":
        why = (
            "no GPU is named: set cluster.gpu=… or cluster=llama_paper" if gpu is None else "no peak for fp32 is known"
        )
        names = ("mfu", "tokens_per_second_per_gpu", "days", "gpu_hours", "power_watts", "energy_mwh", "co2eq_tonnes")
        return {**dict.fromkeys(names), "assumption": None, "unknown": why}
    speed = tokens_per_second(gpu.peak_flops, job.mfu, flops)
    time = duration(job.data.tokens, speed, gpus)
    watts = job.cluster.power_watts or gpu.rated_watts
    mwh = gpu_energy_mwh(time.gpu_hours, watts, job.cluster.pue)
    source = "that of LLaMA-65B in its paper" if job.mfu == PAPER_MFU else "as given"
    return {
        "mfu": job.mfu,
        "tokens_per_second_per_gpu": speed,
        "days": time.days,
        "gpu_hours": time.gpu_hours,
        "power_watts": watts,
        "energy_mwh": mwh,
        "co2eq_tonnes": co2eq_tonnes(mwh, job.cluster.kg_co2_per_kwh),
        "assumption": f"{job.mfu:.1%} of {gpu.peak_flops / 1e12:g} TFLOP/s by {job.convention}, {source}; no lost time",
        "unknown": None,
    }


def as_text(plan: dict[str, Any]) -> str:
    """The plan as lines of `what  value  remark`."""

    def show(key: str, pattern: str, unit: str = "") -> str:
        return "?" if plan[key] is None else f"{plan[key]:{pattern}}{unit}"

    flops = plan["flops_per_token"]
    gpu = f"{plan['gpus']:,} x {plan['gpu'] or 'unknown GPU'}"
    fits = {True: "fits", False: "does not fit", None: "not known whether it fits"}[plan["fits"]]
    rows = [
        ("parameters", f"{plan['parameters']:,}", f"{plan['non_embedding_parameters']:,} without the embeddings"),
        ("tokens", f"{plan['tokens']:,}", f"{plan['steps']:,} steps of {plan['batch_tokens']:,}"),
        ("FLOPs per token", f"{flops['6N']:.4g} (6N)", f"{flops['6N+attention']:.4g} (6N+attention)"),
        ("FLOPs in all", f"{plan['flops_total']:.4g}", f"by {plan['convention']}"),
        ("weights", f"{plan['weights_gib']:,.2f} GiB", "fp32, whole model"),
        ("gradients", f"{plan['gradients_gib']:,.2f} GiB", "fp32, whole model"),
        ("optimizer", f"{plan['optimizer_gib']:,.2f} GiB", "Adam's two moments, fp32, whole model"),
        ("activations", f"{plan['activations_gib']:,.2f} GiB", "each GPU, one micro-batch, nothing recomputed"),
        ("memory per GPU", f"{plan['memory_gib']:,.2f} GiB", f"fully sharded over {gpu}: {fits}"),
        ("speed", show("tokens_per_second_per_gpu", ",.0f", " tokens/s/GPU"), plan["assumption"] or plan["unknown"]),
        ("time", show("days", ",.2f", " days"), show("gpu_hours", ",.0f", " GPU-hours")),
        (
            "energy",
            show("energy_mwh", ",.4g", " MWh"),
            f"{show('power_watts', 'g', ' W')} for each GPU, PUE {plan['pue']:g}",
        ),
        ("carbon", show("co2eq_tonnes", ",.4g", " tCO2eq"), f"{plan['kg_co2_per_kwh']:g} kg CO2eq per kWh"),
    ]
    wide = max(len(value) for _, value, _ in rows)
    return "\n".join(f"{name:16} {value:>{wide}}   {remark}".rstrip() for name, value, remark in rows)
