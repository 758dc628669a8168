"""The planner's memory against CUDA's own peak, for every recompute policy and sizes up to what the GPU holds"""

from __future__ import annotations

import pytest
import torch

from packtrain.estimate.memory import training_memory
from packtrain.estimate.split import Batch, Split
from packtrain.model.config import ModelConfig, parameter_count
from packtrain.model.engine import Engine
from packtrain.model.initialisation import initialise
from packtrain.model.llama import Llama
from packtrain.training.optimiser import build_optimiser, clip_gradients
from packtrain.training.schedule import OptimConfig

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
SIZES = {
    "15m": ModelConfig(dim=384, n_layers=7, n_heads=6, vocab_size=32_000),
    "150m": ModelConfig(dim=768, n_layers=14, n_heads=12, vocab_size=32_000),
    "1b": ModelConfig(dim=2048, n_layers=16, n_heads=16, vocab_size=32_000),
    "3b": ModelConfig(dim=3200, n_layers=26, n_heads=32, vocab_size=32_000),
    "7b": ModelConfig(dim=4096, n_layers=32, n_heads=32, vocab_size=32_000),
}


@pytest.mark.parametrize("recompute", ["none", "manual", "selective", "full"])
@pytest.mark.parametrize("size", list(SIZES))
def test_the_predicted_peak_is_within_5_percent_of_cuda_s(size: str, recompute: str) -> None:
    config, batch = SIZES[size], Batch(2048, 2, 1)
    ours = training_memory(config, Split(1, 1, 1), batch, recompute)
    if ours.total > torch.cuda.mem_get_info()[1]:
        pytest.skip(f"{ours.total / 2**30:.0f} GiB are more than this GPU holds")
    torch.cuda.empty_cache()
    with torch.device("cuda"):
        model = Llama(config, torch.bfloat16, Engine(recompute=recompute))  # pyright: ignore
    initialise(model, 0)
    optim = OptimConfig(learning_rate=1e-4, warmup_steps=0)
    optimiser = build_optimiser(model, optim)
    tokens = torch.randint(0, config.vocabulary, (batch.micro_batch, batch.sequence_length + 1), device="cuda")
    for _ in range(3):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        model.loss(tokens[:, :-1], tokens[:, 1:]).backward()
        clip_gradients(model, optim)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    torch.cuda.synchronize()
    free, whole = torch.cuda.mem_get_info()
    outside = whole - free - torch.cuda.memory_reserved()  # the context, and libraries' own workspaces
    real = torch.cuda.max_memory_reserved() + outside
    assert ours.total == pytest.approx(real, rel=0.05, abs=256 * 2**20), f"{parameter_count(config):,} parameters"
