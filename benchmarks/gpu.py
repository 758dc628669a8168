"""LLaMA-7B and the 1b size on one GPU: tokens/s, MFU in three conventions, peak memory, beside transformers and litgpt

    fp32 parameters and AdamW, bf16 compute, sequences of 2048, compiled: micro-batches → clip → fused AdamW

Every implementation runs in each of its settings that fits (`setting`: sequences in a micro-batch, what is recomputed);
its best row is the one to compare. One command, under ten minutes on an H200: what no longer fits into `--seconds` is
named and left out. MFU is of the GPU's dense bf16 peak (hardware table; unknown GPU: none):

    mfu_6n                   6 N a token, N all parameters (Kaplan et al., 2020)
    mfu_6n_attention         6 (N − input embedding) + 12 layers · width · T (PaLM, appendix B)
    mfu_6n_causal_attention  the same with half the attention, which is what a causal kernel computes
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks import common
from benchmarks.contenders import Contender, batch, build, installed
from packtrain.estimate.flops import flops_per_token
from packtrain.estimate.hardware import lookup
from packtrain.model.config import ModelConfig
from packtrain.model.engine import Engine
from packtrain.model.fp8 import unavailable

SHAPES = {
    "7b": ModelConfig(dim=4096, n_layers=32, n_heads=32, vocab_size=32_000, max_sequence_length=2048),
    "1b": ModelConfig(dim=2048, n_layers=16, n_heads=16, vocab_size=32_000, max_sequence_length=2048),
    "tiny": ModelConfig(dim=32, n_layers=2, n_heads=2, vocab_size=101, max_sequence_length=32, ffn_multiple_of=16),
}


@dataclass(frozen=True)
class Setting:
    """How an implementation runs: sequences in a micro-batch; packtrain's recompute policy, or layers checkpointed."""

    micro_batch: int
    recompute: str


SETTINGS = {
    ("packtrain", "7b"): [Setting(4, "manual"), Setting(2, "manual"), Setting(4, "full")],
    ("packtrain", "1b"): [Setting(8, "manual"), Setting(8, "none")],
    ("peer", "7b"): [Setting(1, "none"), Setting(2, "none"), Setting(4, "full")],
    ("peer", "1b"): [Setting(8, "none"), Setting(8, "full")],
    ("packtrain", "tiny"): [Setting(2, "manual")],
    ("peer", "tiny"): [Setting(2, "none")],
}


def mfu_columns(config: ModelConfig, tokens_per_second: float, peak_flops: float | None) -> dict[str, float | None]:
    """The three conventions of the module's docstring; None where the device's peak is not known."""
    T = config.max_sequence_length
    full = flops_per_token(config, T, "6N+attention")
    flops = {
        "mfu_6n": flops_per_token(config, T, "6N"),
        "mfu_6n_attention": full,
        "mfu_6n_causal_attention": full - 6.0 * config.n_layers * config.dim * T,
    }
    return {name: None if peak_flops is None else tokens_per_second * f / peak_flops for name, f in flops.items()}


def make(name: str, size: str, setting: Setting, compiled: bool, device: torch.device) -> Contender:
    """The contender of a row, its random weights drawn on the device."""
    ours = name.startswith("packtrain")
    eight_bits = name == "packtrain fp8"
    engine = Engine(recompute=setting.recompute, compile=compiled, fp8=eight_bits) if ours else None  # pyright: ignore
    checkpointing = setting.recompute == "full"
    return build(name.split()[0], SHAPES[size], "bf16", compiled, device, engine, checkpointing, same_weights=False)


def measure(contender: Contender, size: str, setting: Setting, sequences: int, steps: int) -> dict[str, Any]:
    """Seconds of `steps` optimiser steps of `sequences` sequences after two of warm-up."""
    config = SHAPES[size]
    parameters = list(contender.model.parameters())
    device = parameters[0].device
    optimiser = torch.optim.AdamW(parameters, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    tokens, targets = batch(config, setting.micro_batch, config.max_sequence_length, device)
    accumulation = max(1, sequences // setting.micro_batch)

    def step() -> None:
        for _ in range(accumulation):
            (contender.loss(tokens, targets) / accumulation).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for _ in range(2):
        step()
    seconds = []
    for _ in range(steps):
        _wait(device)
        begin = time.perf_counter()
        step()
        _wait(device)
        seconds.append(time.perf_counter() - begin)
    median = statistics.median(seconds)
    rate = accumulation * tokens.numel() / median
    gpu = lookup(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
    return {
        "seconds_per_step": median, "spread": (max(seconds) - min(seconds)) / 2 / median, "tokens_per_second": rate,
        **mfu_columns(config, rate, gpu.peak_flops if gpu else None),
        "peak_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
    }  # fmt: skip


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def row(name: str, size: str, setting: Setting, device: torch.device, quick: bool, steps: int) -> dict[str, Any]:
    """One implementation in one setting; `does_not_fit` where the GPU's memory ends."""
    compiled = device.type == "cuda"
    shown = f"{setting.micro_batch} sequences, recompute {setting.recompute}"
    labels = {
        "model": size, "implementation": name, "precision": "bf16", "compiled": compiled, "setting": shown,
    }  # fmt: skip
    torch._dynamo.reset()
    try:
        contender = make(name, size, setting, compiled, device)
        found = measure(contender, size, setting, sequences=2 if quick else 16, steps=steps)
        return {**labels, **found, "does_not_fit": False}
    except torch.OutOfMemoryError:
        return {**labels, "does_not_fit": True}
    finally:
        contender = None
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()


def main(argv: Sequence[str] | None = None) -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: with --quick, to see it run")
    parser.add_argument("--model", choices=("7b", "1b"), action="append", help="default: both")
    parser.add_argument("--steps", type=int, default=None, help="timed steps of each row (default: 6)")
    parser.add_argument("--seconds", type=float, default=540.0, help="begin no new row after so long (default: 540)")
    arguments = common.parse(parser, argv)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device here; --quick --device cpu shows that the program runs")
    if arguments.device == "cpu" and not arguments.quick:
        parser.error("--device cpu goes with --quick: a billion parameters take a CPU hours")
    device = torch.device(arguments.device)
    begin, rows, left_out = time.perf_counter(), [], []
    for size in ["tiny"] if arguments.quick else arguments.model or ["7b", "1b"]:
        names = ["packtrain fp8"] if device.type == "cuda" and unavailable(device) is None else []
        for name in [*installed(), *names]:
            for setting in SETTINGS["packtrain" if name.startswith("packtrain") else "peer", size]:
                if time.perf_counter() - begin > arguments.seconds:
                    left_out.append(f"{name} {size} {setting}")
                    continue
                rows.append(row(name, size, setting, device, arguments.quick, arguments.steps or 6))
                print(common.table(rows[-1:]), flush=True)
    print(common.table(rows))
    for case in left_out:
        print(f"left out, the time was up: {case}")
    common.write_results("gpu", rows, arguments, left_out=left_out)


if __name__ == "__main__":
    main()
