"""The planner's memory against tensors that PyTorch really made: a training step on CPU, storage by storage"""

import pytest
import torch

from packtrain.errors import UserError
from packtrain.estimate.activations import saved_bytes
from packtrain.estimate.memory import GIB, training_memory
from packtrain.estimate.serving import cache_bytes, weight_bytes
from packtrain.estimate.split import Batch, ParallelChoice, Split, make_split
from packtrain.model.config import ModelConfig
from packtrain.model.engine import Engine
from packtrain.model.initialisation import initialise
from packtrain.model.llama import Llama
from packtrain.model.lora import add_adapters
from packtrain.model.lora_config import LoraConfig, adapter_parameters
from packtrain.training.optimiser import build_optimiser, clip_gradients
from packtrain.training.schedule import OptimConfig
from tests.estimate.counted import CountedBytes

POLICIES = ("none", "manual", "selective", "full")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SIZES = {
    "grouped": (ModelConfig(dim=256, n_layers=3, n_heads=8, n_kv_heads=2, vocab_size=4096), 2, 128),
    "1m": (ModelConfig(dim=96, n_layers=2, n_heads=3, vocab_size=4096), 4, 128),
    "deep": (ModelConfig(dim=128, n_layers=8, n_heads=4, vocab_size=512), 4, 192),
}
LLAMA_7B = ModelConfig(dim=4096, n_layers=32, n_heads=32, vocab_size=32_000, name="7b")
LLAMA_65B = ModelConfig(dim=8192, n_layers=80, n_heads=64, vocab_size=32_000, name="65b")


def counted_peak(config: ModelConfig, batch: Batch, recompute: str, precision: str, rank: int = 0) -> int:
    """Bytes of the second step: the first one makes the optimiser's moments. `rank` of LoRA's adapters, 0 for none."""
    torch.set_num_threads(1)
    model = Llama(config, DTYPES[precision], Engine(attention="sdpa", recompute=recompute))  # pyright: ignore
    initialise(model, 0)
    if rank:
        add_adapters(model, LoraConfig(rank=rank), 0)
    optim = OptimConfig(learning_rate=1e-4, warmup_steps=0)
    optimiser = build_optimiser(model, optim)
    with CountedBytes(list(model.parameters())) as counter:
        for _ in range(2):
            counter.peak = counter.now
            for _ in range(batch.accumulation):
                tokens = torch.randint(0, config.vocabulary, (batch.micro_batch, batch.sequence_length + 1))
                (model.loss(tokens[:, :-1], tokens[:, 1:]) / batch.accumulation).backward()
            clip_gradients(model, optim)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
    return counter.peak


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("recompute", POLICIES)
@pytest.mark.parametrize("size", list(SIZES))
def test_the_predicted_peak_is_within_5_percent_of_the_counted_one(size: str, recompute: str, precision: str) -> None:
    config, micro, length = SIZES[size]
    for accumulation in (1, 2) if size == "1m" else (1,) if precision == "fp32" else (2,):
        batch = Batch(length, micro, accumulation)
        real = counted_peak(config, batch, recompute, precision)
        ours = training_memory(config, Split(1, 1, 1), batch, recompute, precision, "cpu")
        assert ours.total == pytest.approx(real, rel=0.05), f"accumulation {accumulation}, peak at {ours.peak}"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("size", list(SIZES))
def test_the_predicted_peak_of_lora_is_within_5_percent_of_the_counted_one(size: str, precision: str) -> None:
    config, micro, length = SIZES[size]
    batch = Batch(length, micro, 1)
    real = counted_peak(config, batch, "manual", precision, rank=4)
    adapters = adapter_parameters(config, LoraConfig(rank=4))
    ours = training_memory(config, Split(1, 1, 1), batch, "manual", precision, "cpu", adapters)
    assert ours.total == pytest.approx(real, rel=0.05), f"peak at {ours.peak}"


def test_the_counter_sees_what_is_alive_and_what_was_freed() -> None:
    with CountedBytes() as counter:
        a = torch.zeros(1000)
        b = a.view(10, 100) + 1
        assert counter.now == 8000
        del b
        assert counter.now == 4000 and counter.peak == 8000
        a.mul_(2)
        assert counter.now == 4000, "in place and views make nothing"


def test_a_parameter_costs_sixteen_bytes_of_state_and_sharding_divides_them() -> None:
    one, many = (training_memory(LLAMA_7B, Split(gpus, 1, 1), Batch(2048, 1, 2)) for gpus in (1, 8))
    states = one.weights + one.gradients + one.optimizer
    assert states == pytest.approx(6_738_415_616 * 16)
    assert many.weights + many.gradients + many.optimizer == pytest.approx(states / 8)
    assert many.activations == one.activations, "the tokens are its own"
    halved = training_memory(LLAMA_7B, Split(8, 2, 1), Batch(2048, 1, 2))
    assert halved.activations == pytest.approx(one.activations / 2), "sequence parallel: a GPU has half of the tokens"


def test_policies_stand_in_the_order_of_what_they_keep() -> None:
    none, manual, selective, full = (saved_bytes(LLAMA_7B, policy, 2, fused_norm=True) for policy in POLICIES)
    assert none > selective > manual > full == 2 * 4096
    assert manual == 2 * (6 * 4096 + 2 * 11008) + 4 * 32, "4 C + 2 Ckv + 2 F numbers and the log-sum-exp"


def test_a_replica_keeps_the_whole_shard() -> None:
    sharded, replicated = (training_memory(LLAMA_7B, Split(16, 1, r), Batch(2048, 1, 2)) for r in (1, 2))
    assert replicated.weights == 2 * sharded.weights


def test_serving_memory_is_that_of_the_released_files() -> None:
    assert weight_bytes(LLAMA_7B, "fp32") / 1e9 == pytest.approx(26.95, abs=0.005)
    assert weight_bytes(LLAMA_65B, "fp32") / 1e9 == pytest.approx(261.1, abs=0.05)
    assert weight_bytes(LLAMA_7B, "bf16") == weight_bytes(LLAMA_7B, "fp32") / 2
    int8, int4 = weight_bytes(LLAMA_7B, "int8"), weight_bytes(LLAMA_7B, "int4")
    assert 6.7e9 < int8 < 6.95e9 and 3.5e9 < int4 < 3.9e9
    assert cache_bytes(LLAMA_7B, 2048) == 2 * 32 * 4096 * 2 * 2048 == GIB, "the 7B: 1 GiB for a full context"
    with pytest.raises(UserError, match="did you mean 'int8'"):
        weight_bytes(LLAMA_7B, "int9")


@pytest.mark.parametrize(
    ("tensor", "replicate", "gpus", "message"),
    [
        (3, 1, 8, r"tensor=3 × parallel.replicate=1 = 3 does not divide the 8 GPUs .* tensor may be 1, 2, 4, 8"),
        (1, 5, 8, r"= 5 does not divide the 8 GPUs"),
        (64, 1, 64, r"parallel.tensor=64 does not divide n_heads=32 of model 7b; it may be 1, 2, 4, 8, 16, 32"),
        (16, 1, 16, r"parallel.tensor=16 is more than the 8 GPUs of a node"),
    ],
)
def test_a_split_that_cannot_be_names_one_that_can(tensor: int, replicate: int, gpus: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_split(LLAMA_7B, gpus, ParallelChoice(tensor, replicate))
    with pytest.raises(UserError, match=r"parallel.tensor=0: expected at least 1"):
        ParallelChoice(0)
