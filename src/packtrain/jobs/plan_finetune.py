"""packtrain plan finetune: the memory of fine-tuning a model on one GPU, all weights and with LoRA, as in training

The same accounting as `packtrain plan` (estimate/memory.py), with gradients and moments of what is trained alone.
"""

from __future__ import annotations

from typing import Any

from packtrain.estimate.memory import GIB, Memory, training_memory
from packtrain.estimate.split import Batch, Split
from packtrain.jobs.plan_figures import find_gpu
from packtrain.jobs.plan_job import PlanJob
from packtrain.jobs.plan_text import table
from packtrain.model.config import parameter_count
from packtrain.model.lora_config import LoraConfig, adapter_parameters

FITS = {True: "fits", False: "does not fit", None: "not known whether it fits"}
PARTS = ("weights", "gradients", "optimizer", "activations", "logits", "workspace", "total")


def answer(job: PlanJob) -> tuple[dict[str, Any], str]:
    """The figures, and as a table. One GPU, one micro-batch of `sequences_per_gpu` rows (1)."""
    gpu, rows = find_gpu(job), job.sequences_per_gpu or 1
    batch = Batch(job.data.sequence_length, rows, 1)
    ways: dict[str, tuple[int, Memory]] = {"full": (parameter_count(job.model), _memory(job, batch, None))}
    for rank in sorted({8, 64, job.lora_rank or 8}):
        trained = adapter_parameters(job.model, LoraConfig(rank=rank))
        ways[f"lora.rank={rank}"] = (trained, _memory(job, batch, trained))
    room = None if gpu is None else gpu.memory_bytes
    found = {
        name: {
            "trained_parameters": trained,
            **{f"{part}_gib": getattr(memory, part) / GIB for part in PARTS},
            "fits": None if room is None else memory.total <= room,
        }
        for name, (trained, memory) in ways.items()
    }
    about = {
        "model": job.model.name, "parameters": parameter_count(job.model), "gpu": gpu.name if gpu else None,
        "gpu_memory_gib": None if room is None else room / GIB, "rows": rows,
        "sequence_length": job.data.sequence_length, "precision": job.precision,
        "recompute": job.model.recompute(job.recompute),
    }  # fmt: skip
    return {**about, "ways": found}, _text(about, found)


def _memory(job: PlanJob, batch: Batch, trained: int | None) -> Memory:
    return training_memory(job.model, Split(1, 1, 1), batch, job.recompute, job.precision, adapters=trained)


def _text(about: dict[str, Any], ways: dict[str, Any]) -> str:
    where = "an unknown GPU (give cluster.gpu=h100)"
    if about["gpu"]:
        where = f"one {about['gpu']} of {about['gpu_memory_gib']:.1f} GiB"
    lines = [
        f"{about['model']}, {about['parameters']:,} parameters (fp32), {about['rows']} × {about['sequence_length']} "
        f"tokens in {about['precision']}, recompute={about['recompute']}, on {where}; planned, not measured"
    ]
    rows = [
        (
            name, f"{way['total_gib']:.1f} GiB",
            f"{FITS[way['fits']]}: weights {way['weights_gib']:.1f}, gradients "
            f"{way['gradients_gib']:.1f}, moments {way['optimizer_gib']:.1f}, activations "
            f"{way['activations_gib']:.1f}; {way['trained_parameters']:,} trained",
        )
        for name, way in ways.items()
    ]  # fmt: skip
    return "\n".join([*lines, table(rows)])
