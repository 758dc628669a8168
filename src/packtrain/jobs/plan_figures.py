"""PlanJob → every figure of the plan as one dictionary: the contract of format=json

A figure that hangs on something unknown is None, and `unknown` says on what.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from packtrain.errors import UserError
from packtrain.estimate import remedies, speed
from packtrain.estimate.energy import co2eq_tonnes, gpu_energy_mwh
from packtrain.estimate.flops import flops_per_token, hardware_flops
from packtrain.estimate.hardware import Gpu, by_name
from packtrain.estimate.memory import COMPUTE_BYTES, GIB, loss_bytes, training_memory
from packtrain.estimate.scaling import RULE
from packtrain.estimate.serving import PRECISIONS, serving
from packtrain.estimate.split import Batch, make_split, sequences_per_rank
from packtrain.estimate.throughput import mfu, tokens_per_second
from packtrain.estimate.time import duration
from packtrain.jobs.plan_law import read_law
from packtrain.model.config import non_embedding_parameters, parameter_count

if TYPE_CHECKING:
    from packtrain.jobs.plan_job import PlanJob

NETWORK_PER_GPU = {"ampere": 25.0}  # GB/s: 200 Gb/s adapters of the A100's time, 400 Gb/s later
SPEED_KEYS = (
    "mfu", "hfu", "tokens_per_second_per_gpu", "step_seconds", "step_parts", "days", "gpu_hours", "power_watts",
    "energy_mwh", "co2eq_tonnes", "cost",
)  # fmt: skip


def make_plan(job: PlanJob) -> dict[str, Any]:
    """The plan of a run. Raises `UserError` for what cannot be split or dealt so."""
    gpu = find_gpu(job)
    situation = _situation(job, gpu or by_name("h200"))
    micro, largest = job.sequences_per_gpu, situation.largest() if gpu else None
    if micro is None:
        micro = largest or 1
    if micro not in situation.choices():
        near = min(situation.choices(), key=lambda n: abs(n - micro))
        raise UserError(
            f"sequences_per_gpu={micro} does not divide the {max(situation.choices())} sequences that each rank has "
            f"per step; nearest: sequences_per_gpu={near}"
        )
    return _shape(job) | _memory(job, situation, gpu, micro, largest) | _speed(job, gpu, micro) | _serving(job, gpu)


def find_gpu(job: PlanJob) -> Gpu | None:
    """The row that the job names; `cpu` measures this machine."""
    name = job.cluster.gpu
    if name is None:
        return None
    if name.lower() == "cpu":
        from packtrain.estimate.cpu import measured_cpu

        if job.cluster.gpus > 1:
            raise UserError("cluster.gpu=cpu measures this machine: give cluster.nodes=1 cluster.gpus_per_node=1")
        return measured_cpu()
    return by_name(name)


def make_setup(job: PlanJob, gpu: Gpu, micro: int) -> speed.Setup:
    """What the speed model needs, from the job."""
    cluster, data = job.cluster, job.data
    split = make_split(job.model, cluster.gpus, job.parallel, cluster.gpus_per_node)
    each = sequences_per_rank(data.batch_tokens, data.sequence_length, split)
    network = cluster.network_gb_per_second or cluster.gpus_per_node * NETWORK_PER_GPU.get(gpu.generation, 50.0)
    return speed.Setup(
        gpu, cluster.gpus, data.sequence_length, micro, each // micro, cluster.gpus_per_node, network, job.recompute,
        kernel=job.attention, fused=job.compile, tensor=split.tensor, replicate=split.replicate,
    )  # fmt: skip


def constants(job: PlanJob) -> speed.Constants:
    """Fitted to published runs, or with the efficiency that `plan calibrate` found."""
    if job.efficiency is None:
        return speed.FITTED
    return replace(speed.FITTED, ampere=job.efficiency, hopper=job.efficiency, cpu=job.efficiency)


def _situation(job: PlanJob, gpu: Gpu) -> remedies.Situation:
    cluster, data = job.cluster, job.data
    return remedies.Situation(
        job.model, gpu, cluster.nodes, cluster.gpus_per_node, job.parallel, data.batch_tokens, data.sequence_length,
        job.sequences_per_gpu, job.recompute, job.precision,
    )  # fmt: skip


def _shape(job: PlanJob) -> dict[str, Any]:
    model, data = job.model, job.data
    parameters = parameter_count(model)
    flops = {name: flops_per_token(model, data.sequence_length, name) for name in ("6N", "6N+attention")}
    executed = hardware_flops(model, data.sequence_length, job.recompute)
    law = read_law(job.law)
    return {
        "model": model.name,
        "parameters": parameters,
        "non_embedding_parameters": non_embedding_parameters(model),
        "tokens": data.tokens,
        "batch_tokens": data.batch_tokens,
        "steps": -(-data.tokens // data.batch_tokens),
        "sequence_length": data.sequence_length,
        "flops_per_token": flops | {"hardware": executed.total},
        "flops_total": flops[job.convention] * data.tokens,
        "convention": job.convention,
        "recompute": model.recompute(job.recompute),
        "tokens_per_parameter": data.tokens / parameters,
        "overtraining": {
            "over_20_tokens_a_parameter": data.tokens / parameters / RULE,
            "over_law": data.tokens / law.optimal_tokens(parameters),
            "law": law.source,
        },
    }


def _memory(
    job: PlanJob, situation: remedies.Situation, gpu: Gpu | None, micro: int, largest: int | None
) -> dict[str, Any]:
    model, cluster = job.model, job.cluster
    split = make_split(model, cluster.gpus, job.parallel, cluster.gpus_per_node)
    each = sequences_per_rank(job.data.batch_tokens, job.data.sequence_length, split)
    batch = Batch(job.data.sequence_length, micro, each // micro)
    device = "cpu" if gpu and gpu.generation == "cpu" else "cuda"
    memory = training_memory(model, split, batch, job.recompute, job.precision, device)
    fits = memory.total <= gpu.memory_bytes if gpu else None
    rows, size = model.vocabulary // split.tensor, COMPUTE_BYTES[job.precision]
    whole = parameter_count(model) * 4 / GIB
    return {
        "weights_gib": whole,
        "gradients_gib": whole,
        "optimizer_gib": 2 * whole,
        "weights_per_gpu_gib": memory.weights / GIB,
        "gradients_per_gpu_gib": memory.gradients / GIB,
        "optimizer_per_gpu_gib": memory.optimizer / GIB,
        "activations_gib": memory.activations / GIB,
        "logits_gib": memory.logits / GIB,
        "loss_gib": loss_bytes(batch.tokens, rows, model.dim, size, device) / GIB,
        "workspace_gib": memory.workspace / GIB,
        "memory_gib": memory.total / GIB,
        "memory_peak": memory.peak,
        "gpus": cluster.gpus,
        "parallel": {"tensor": split.tensor, "replicate": split.replicate, "shard": split.shard},
        "micro_batch": micro,
        "accumulation": batch.accumulation,
        "largest_micro_batch": largest,
        "gpu": gpu.name if gpu else None,
        "gpu_source": gpu.source if gpu else None,
        "gpu_memory_gib": gpu.memory_bytes / GIB if gpu else None,
        "fits": fits,
        "change": remedies.what_to_change(situation) if fits is False else [],
    }


def _speed(job: PlanJob, gpu: Gpu | None, micro: int) -> dict[str, Any]:
    cluster, data = job.cluster, job.data
    setup = make_setup(job, gpu or by_name("h200"), micro)
    moved = speed.traffic(job.model, setup)
    each_step = {
        "gather": moved.gather * setup.accumulation / 1e9,
        "reduce": moved.reduce * setup.accumulation / 1e9,
        "tensor": moved.tensor * setup.accumulation / 1e9,
    }
    common = {
        "communication_gb_per_step": each_step,
        "pue": cluster.pue,
        "kg_co2_per_kwh": cluster.kg_co2_per_kwh,
        "price_per_gpu_hour": cluster.price_per_gpu_hour,
    }
    why = None
    if gpu is None:
        why = "no GPU is named: set cluster.gpu=… or cluster=llama_paper"
    elif job.precision != ("fp32" if gpu.generation == "cpu" else "bf16"):
        why = (
            "this CPU was measured in fp32: give precision=fp32"
            if gpu.generation == "cpu"
            else "no peak for fp32 is known"
        )
    if gpu is None or why:
        return common | dict.fromkeys(SPEED_KEYS) | {"assumption": None, "unknown": why}
    step = speed.step_time(job.model, setup, constants(job))
    flops = flops_per_token(job.model, data.sequence_length, job.convention)
    rate = tokens_per_second(gpu.peak_flops, job.mfu, flops) if job.mfu else step.tokens_per_second
    time = duration(data.tokens, rate, cluster.gpus)
    watts = cluster.power_watts or gpu.rated_watts
    mwh = gpu_energy_mwh(time.gpu_hours, watts, cluster.pue)
    executed = hardware_flops(job.model, data.sequence_length, job.recompute).total
    price = cluster.price_per_gpu_hour
    parts = None if job.mfu else {k: v for k, v in asdict(step).items() if k not in ("seconds", "tokens_per_second")}
    return common | {
        "mfu": mfu(rate, 1.0, flops, gpu.peak_flops),
        "hfu": mfu(rate, 1.0, executed, gpu.peak_flops),
        "tokens_per_second_per_gpu": rate,
        "step_seconds": data.batch_tokens / (rate * cluster.gpus),
        "step_parts": parts,
        "days": time.days,
        "gpu_hours": time.gpu_hours,
        "power_watts": watts,
        "energy_mwh": mwh,
        "co2eq_tonnes": co2eq_tonnes(mwh, cluster.kg_co2_per_kwh),
        "cost": None if price is None else price * time.gpu_hours,
        "assumption": _assumption(job, gpu, setup),
        "unknown": None,
    }


def _assumption(job: PlanJob, gpu: Gpu, setup: speed.Setup) -> str:
    if job.mfu:
        return f"{job.mfu:.1%} of {gpu.peak_flops / 1e12:g} TFLOP/s by {job.convention}, as given; no lost time"
    share = constants(job).products(gpu.generation)
    basis = "as calibrated" if job.efficiency else "fitted to published runs"
    if speed.assumed(gpu.generation) and not job.efficiency:
        basis = f"Hopper's: no published run of {gpu.generation} stands behind it, trust it to a third"
    if gpu.generation == "cpu" and not job.efficiency:
        basis = "its large matrix product just measured; small models reach less: packtrain plan calibrate run=…"
    wire = f", {setup.network_gb_per_second:g} GB/s a node" if job.cluster.nodes > 1 else ""
    return f"matrix products at {share:.1%} of {gpu.peak_flops / 1e12:.4g} TFLOP/s ({basis}){wire}; no lost time"


def _serving(job: PlanJob, gpu: Gpu | None) -> dict[str, Any]:
    table = {}
    for precision in PRECISIONS:
        found = serving(job.model, precision, job.serving_context, job.serving_sequences, gpu)
        table[precision] = {
            "weights_gb": found.weights / 1e9, "kv_cache_gb": found.cache / 1e9,
            "total_gb": (found.weights + found.cache) / 1e9, "gpus": found.gpus,
            "tokens_per_second_per_gpu": found.tokens_per_second_per_gpu,
        }  # fmt: skip
    return {"serving": table, "serving_sequences": job.serving_sequences, "serving_context": job.serving_context}
