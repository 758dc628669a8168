"""training speeds that others published, with what they say of their settings: what the speed model is held against

`CALIBRATION` is fitted, each row also predicted with that row left out; `PAPER` (LLaMA's own rows) is never fitted.
MPT's feed-forward has two matrices of 4 C, ours three: ffn_dim = 8/3 C is the same number of FLOPs. Its vocabulary of
50 368 and tied embeddings: the same products.
"""

from __future__ import annotations

from dataclasses import dataclass

from packtrain.estimate.hardware import by_name
from packtrain.estimate.speed import Setup
from packtrain.model.config import ModelConfig

FOUNDRY = "llm-foundry, scripts/train/benchmarking/README.md"
TITAN = "torchtitan, benchmarks/llama3_h100_202412_torchtitan.md"


@dataclass(frozen=True)
class Run:
    """One published row. `gpu_hours` where the speed is derived from hours (LLaMA, table 15)."""

    name: str
    source: str
    model: ModelConfig
    setup: Setup
    tokens_per_second: float


def mpt(dim: int, layers: int, heads: int) -> ModelConfig:
    return ModelConfig(
        dim=dim,
        n_layers=layers,
        n_heads=heads,
        vocab_size=50_368,
        ffn_dim=round(8 * dim / 3),
        max_sequence_length=65536,
    )


MPT = {
    "1B": mpt(2048, 24, 16), "3B": mpt(2560, 32, 20), "7B": mpt(4096, 32, 32),
    "13B": mpt(5120, 40, 40), "30B": mpt(7168, 48, 64), "70B": mpt(8192, 80, 64),
}  # fmt: skip


def foundry(
    size: str, gpu: str, gpus: int, micro: int, accumulation: int, recompute: str, speed: float, pure: bool = False,
    length: int = 2048,
) -> Run:  # fmt: skip
    """A row of llm-foundry's tables: FSDP, Triton's FlashAttention, 1 600 Gb/s a node for A100, 3 200 for H100."""
    board = by_name(gpu)
    setup = Setup(
        board, gpus, length, micro, accumulation, network_gb_per_second=200 if board.generation == "ampere" else 400,
        recompute=recompute, kernel="flash1", reduce_bytes=2 if pure else 4, reduce_always=True,
    )  # fmt: skip
    short = "A100-40" if gpu == "a100-40gb" else "A100" if board.generation == "ampere" else "H100"
    return Run(f"MPT-{size}, {gpus} {short}, T={length}", FOUNDRY, MPT[size], setup, speed)


LLAMA3_8B = ModelConfig(
    dim=4096, n_layers=32, n_heads=32, n_kv_heads=8, vocab_size=128_256, ffn_dim=14336, max_sequence_length=8192
)
LLAMA3_70B = ModelConfig(
    dim=8192, n_layers=80, n_heads=64, n_kv_heads=8, vocab_size=128_256, ffn_dim=28672, max_sequence_length=8192
)
TINYLLAMA = ModelConfig(dim=2048, n_layers=22, n_heads=32, n_kv_heads=4, vocab_size=32_000, ffn_dim=5632)
# torchtitan's selective policy computes every second product of a layer again: wk, wo, w3
EVERY_SECOND = (1024 + 4096 + 14336) / (2 * 4096 + 2 * 1024 + 3 * 14336)


def titan(gpus: int, fused: bool, speed: float) -> Run:
    setup = Setup(
        by_name("h100-96gb-500w"), gpus, 8192, 2, network_gb_per_second=400, recompute="selective", again=EVERY_SECOND,
        fused=fused, reduce_always=True,
    )  # fmt: skip
    return Run(f"Llama-3 8B, {gpus} H100 (500 W), {'compiled' if fused else 'eager'}", TITAN, LLAMA3_8B, setup, speed)


CALIBRATION: tuple[Run, ...] = (
    foundry("7B", "a100-80gb", 8, 6, 2, "none", 4641),
    foundry("13B", "a100-80gb", 8, 2, 3, "none", 2262),
    foundry("30B", "a100-80gb", 8, 3, 21, "full", 916),
    foundry("70B", "a100-80gb", 64, 8, 4, "full", 410, pure=True),
    foundry("70B", "a100-80gb", 32, 2, 16, "full", 373, pure=True),
    foundry("7B", "a100-80gb", 8, 8, 2, "full", 3206, length=8192),
    foundry("7B", "h100", 8, 6, 1, "none", 10643),
    foundry("7B", "h100", 512, 6, 1, "none", 9670),
    foundry("13B", "h100", 8, 2, 1, "none", 4792),
    foundry("13B", "h100", 64, 2, 1, "none", 4800),
    foundry("30B", "h100", 8, 3, 21, "full", 2002),
    foundry("30B", "h100", 32, 14, 3, "full", 2308),
    foundry("70B", "h100", 64, 8, 4, "full", 1039),
    foundry("70B", "h100", 128, 8, 1, "full", 1058),
    foundry("70B", "h100", 32, 2, 16, "full", 882),
    foundry("7B", "h100", 8, 8, 2, "full", 6935, length=8192),
    titan(8, False, 5762),
    titan(8, True, 6667),
    titan(128, True, 6514),
    Run(
        "TinyLlama 1.1B, 16 A100-40", "TinyLlama, README.md", TINYLLAMA,
        Setup(by_name("a100-40gb"), 16, 2048, 8, 8, recompute="none", reduce_always=True), 24000,
    ),
)  # fmt: skip

# Rows that no fit ever sees: other sizes, lengths and numbers of GPUs.
UNSEEN: tuple[Run, ...] = (
    foundry("1B", "a100-80gb", 8, 14, 4, "none", 20513),
    foundry("3B", "a100-80gb", 8, 10, 2, "none", 10811),
    foundry("13B", "a100-80gb", 8, 10, 3, "full", 2060, length=4096),
    foundry("30B", "a100-80gb", 8, 1, 21, "full", 574, length=8192),
    foundry("7B", "a100-80gb", 8, 2, 2, "full", 1672, length=32768),
    foundry("7B", "a100-40gb", 128, 18, 1, "full", 3623, pure=True),
    foundry("30B", "a100-40gb", 32, 4, 1, "full", 857, pure=True),
    foundry("1B", "h100", 8, 14, 1, "none", 45455),
    foundry("3B", "h100", 64, 6, 3, "none", 22525),
    foundry("13B", "h100", 128, 16, 1, "full", 5080),
    foundry("30B", "h100", 512, 8, 1, "full", 2115),
    foundry("7B", "h100", 8, 2, 2, "full", 3318, length=32768),
)

# LLaMA's own: table 15's GPU-hours and the tokens of table 2. Never fitted. What the paper does not say is taken as:
# 2 048 GPUs for every size (it says so of 65B alone), one sequence a GPU (that is its batch of 4 M tokens), FSDP that
# reduces in half precision (the default of fairscale's, which its release uses), 200 Gb/s InfiniBand a GPU (Meta's
# Research SuperCluster), an attention of FlashAttention 1's speed.
PAPER_HOURS = {"7B": (1.0e12, 82_432), "13B": (1.0e12, 135_168), "33B": (1.4e12, 530_432), "65B": (1.4e12, 1_022_362)}
PAPER_SHAPES = {"7B": (4096, 32, 32), "13B": (5120, 40, 40), "33B": (6656, 60, 52), "65B": (8192, 80, 64)}


def paper_run(size: str, gpus: int = 2048) -> Run:
    """One of LLaMA's four as published: tokens / GPU-hours; 65B's 380 tokens/s is said outright (§2.4)."""
    dim, layers, heads = PAPER_SHAPES[size]
    tokens, hours = PAPER_HOURS[size]
    model = ModelConfig(dim=dim, n_layers=layers, n_heads=heads, vocab_size=32_000)
    micro = 4_194_304 // 2048 // gpus
    setup = Setup(by_name("a100-80gb"), gpus, 2048, micro, 1, recompute="manual", kernel="flash1", reduce_bytes=2)
    return Run(f"LLaMA-{size}, {gpus} A100", "LLaMA, tables 2 and 15", model, setup, tokens / hours / 3600)
