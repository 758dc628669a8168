"""a GPU's name → its peak FLOP/s, memory and rated power with their source; an unknown name → None, never a guess"""

from __future__ import annotations

import re
from dataclasses import dataclass

from packtrain.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Gpu:
    """One row of the table.

    `peak_flops`: dense bf16 matrix FLOP/s with fp32 accumulation, without sparsity. `memory_gb`: 10⁹ bytes, as sold.
    `rated_watts`: the board's maximum. `device`: what torch.cuda.get_device_name() says, as a regular expression for
    the whole name, so that a MIG slice or a slower sibling is not taken for the full board.
    """

    name: str
    peak_flops: float
    memory_gb: float
    rated_watts: float
    device: str
    source: str


A100 = "NVIDIA A100 datasheet, nvidia-a100-datasheet-us-nvidia-1758950 (2021)"
H100 = "NVIDIA H100 datasheet (2024): dense is half of the figure with sparsity"
TABLE: dict[str, Gpu] = {
    gpu.name: gpu
    for gpu in (
        Gpu("a100-40gb", 312e12, 40, 400, r"(NVIDIA )?A100-SXM4-40GB", A100),
        Gpu("a100-80gb", 312e12, 80, 400, r"(NVIDIA )?A100-SXM4-80GB", A100),
        Gpu("a100-40gb-pcie", 312e12, 40, 250, r"(NVIDIA )?A100-PCIE-40GB", A100),
        Gpu("a100-80gb-pcie", 312e12, 80, 300, r"(NVIDIA )?A100 80GB PCIe", A100),
        Gpu("h100", 989.4e12, 80, 700, r"(NVIDIA )?H100 80GB HBM3", H100),
        Gpu("h100-pcie", 756e12, 80, 350, r"(NVIDIA )?H100 PCIe", H100),
        Gpu("h200", 989.4e12, 141, 700, r"(NVIDIA )?H200", "NVIDIA H200 datasheet (2024), SXM: half of sparse"),
        Gpu("b200", 2250e12, 180, 1000, r"(NVIDIA )?B200", "NVIDIA HGX B200 datasheet (2025): an eighth of 18 PFLOP/s"),
        Gpu("mi300x", 1307.4e12, 192, 750, r"AMD Instinct MI300X.*", "AMD Instinct MI300X data sheet (2023)"),
        Gpu(
            "rtx4090",
            165.2e12,
            24,
            450,
            r"(NVIDIA )?(GeForce )?RTX 4090",
            "NVIDIA Ada GPU Architecture white paper, appendix A: fp32 accumulation",
        ),
        Gpu("l40s", 362.05e12, 48, 350, r"(NVIDIA )?L40S", "NVIDIA L40S datasheet (2023)"),
    )
}


def lookup(device_name: str) -> Gpu | None:
    """The row for torch's device name, e.g. `NVIDIA A100-SXM4-80GB`; None where the table does not hold that board."""
    return next((gpu for gpu in TABLE.values() if re.fullmatch(gpu.device, device_name.strip(), re.IGNORECASE)), None)


def by_name(name: str) -> Gpu:
    """The row that a configuration names, e.g. `a100-80gb`. Raises `UserError` with the nearest."""
    gpu = TABLE.get(name.lower().replace("_", "-"))
    if gpu is None:
        raise UserError(f"cluster.gpu={name}{did_you_mean(name.lower(), TABLE)}")
    return gpu
