"""FLOPs per token by two conventions, utilisation, memory, and a hardware table that never guesses"""

import pytest

from packtrain.errors import UserError
from packtrain.estimate.flops import flops_per_token, hardware_flops
from packtrain.estimate.hardware import TABLE, by_name, lookup
from packtrain.estimate.throughput import mfu, tokens_per_second
from packtrain.estimate.time import duration
from packtrain.model.config import ModelConfig

LLAMA_65B = ModelConfig(dim=8192, n_layers=80, n_heads=64, vocab_size=32_000)
LLAMA_7B = ModelConfig(dim=4096, n_layers=32, n_heads=32, vocab_size=32_000)


@pytest.mark.parametrize(("convention", "percent"), [("6N", 47.7), ("6N+attention", 49.5)])
def test_65b_at_380_tokens_a_second_is_the_known_utilisation(convention: str, percent: float) -> None:
    flops = flops_per_token(LLAMA_65B, 2048, convention)
    share = mfu(380, 1.0, flops, by_name("a100-80gb").peak_flops)
    assert share is not None and round(100 * share, 1) == percent


def test_flops_by_hand() -> None:
    tiny = ModelConfig(dim=4, n_layers=1, n_heads=1, vocab_size=10, ffn_dim=8)
    parameters = 2 * 10 * 4 + (4 * 16 + 3 * 32 + 2 * 4) + 4
    assert flops_per_token(tiny, 5, "6N") == 6 * parameters
    assert flops_per_token(tiny, 5, "6N+attention") == 6 * (parameters - 40) + 12 * 1 * 4 * 5
    with pytest.raises(UserError, match="did you mean '6N'"):
        flops_per_token(tiny, 5, "6n")


def test_utilisation_is_unknown_where_the_peak_is() -> None:
    assert mfu(100, 2.0, 10.0, 1000.0) == pytest.approx(0.5)
    assert mfu(100, 2.0, 10.0, None) is None
    assert mfu(100, 0.0, 10.0, 1000.0) is None


def test_the_paper_s_utilisation_gives_its_speed_and_its_days() -> None:
    speed = tokens_per_second(312e12, 0.495, flops_per_token(LLAMA_65B, 2048))
    assert speed == pytest.approx(380, abs=1)
    took = duration(1.4e12, 380, 2048)
    assert took.days == pytest.approx(20.8, abs=0.05)
    assert took.gpu_hours == pytest.approx(1_022_362, rel=0.002), "the paper's GPU-hours for 65B"


def test_executed_flops_by_hand() -> None:
    tiny = ModelConfig(dim=4, n_layers=2, n_heads=1, vocab_size=10, ffn_dim=8)
    head, layers = 2 * 10 * 4, 2 * 2 * (4 * 16 + 3 * 32)
    attention = 2 * (2 * 4 * 5)  # two layers of half of 4·C·T
    kept = hardware_flops(tiny, 5, "manual")
    assert kept.products == 3 * (head + layers) and kept.attention == 3.5 * attention
    again = hardware_flops(tiny, 5, "full")
    assert again.products == 3 * head + 4 * layers and again.attention == 4.5 * attention
    with pytest.raises(UserError, match="did you mean 'full'"):
        hardware_flops(tiny, 5, "ful")


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("NVIDIA A100-SXM4-80GB", "a100-80gb"),
        ("NVIDIA A100-SXM4-40GB", "a100-40gb"),
        ("NVIDIA A100 80GB PCIe", "a100-80gb-pcie"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA B200", "b200"),
        ("AMD Instinct MI300X", "mi300x"),
        ("NVIDIA GeForce RTX 4090", "rtx4090"),
        ("NVIDIA L40S", "l40s"),
    ],
)
def test_torch_s_device_name_finds_its_row(device: str, name: str) -> None:
    gpu = lookup(device)
    assert gpu is not None and gpu.name == name


@pytest.mark.parametrize(
    "device",
    ["", "Tesla T4", "NVIDIA L40", "NVIDIA H200 NVL", "NVIDIA A100-SXM4-80GB MIG 1g.10gb", "NVIDIA GeForce RTX 4090 D"],
)
def test_an_unknown_board_or_a_slice_of_one_is_not_guessed(device: str) -> None:
    assert lookup(device) is None


def test_every_row_has_a_source_and_plausible_figures() -> None:
    for gpu in TABLE.values():
        assert len(gpu.source) > 10
        assert 1e14 < gpu.peak_flops < 3e15 and 20 < gpu.memory_gb < 300 and 200 < gpu.rated_watts <= 1000
        assert (
            500 < gpu.memory_gb_per_second < 9000 and 30 < gpu.link_gb_per_second <= 900 and 0.7 < gpu.clock_share <= 1
        )
    with pytest.raises(UserError, match="give h100 or h100-"):
        by_name("h10")
    assert by_name("A100_80GB").name == "a100-80gb"
