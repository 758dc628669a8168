"""a GPU's name → its peak FLOP/s, memory, bandwidths and rated power with their source; an unknown one → None"""

from __future__ import annotations

import re
from dataclasses import dataclass

from packtrain.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Gpu:
    """One row of the table.

    `peak_flops`: dense bf16 matrix FLOP/s with fp32 accumulation, without sparsity. `memory_gb`: 10⁹ bytes, as sold.
    `memory_gb_per_second`: to its own memory, 10⁹ bytes/s. `link_gb_per_second`: to the other GPUs of its node, one
    direction (half of what data sheets call bidirectional), NVLink, Infinity Fabric or PCIe. `rated_watts`: the board's
    maximum. `generation`: which measured efficiencies apply (`estimate/speed.py`). `device`: what
    torch.cuda.get_device_name() says, as a regular expression for the whole name, so that a MIG slice or a slower
    sibling is not taken for the full board; empty for a board that its name cannot tell from another.
    """

    name: str
    generation: str
    peak_flops: float
    memory_gb: float
    memory_gb_per_second: float
    link_gb_per_second: float
    rated_watts: float
    device: str
    source: str
    full_watts: float | None = None

    @property
    def memory_bytes(self) -> float:
        return self.memory_gb * 1e9

    @property
    def clock_share(self) -> float:
        """Clock under a power limit over the clock at `full_watts`: P ~ f·V² and V ~ f give f ~ ∛P."""
        return 1.0 if self.full_watts is None else (self.rated_watts / self.full_watts) ** (1 / 3)


A100 = "NVIDIA A100 datasheet (2021), nvidia-a100-datasheet-us-nvidia-1758950"
H100 = "NVIDIA H100 datasheet (2024): dense is half of the figure with sparsity"
LIMITED = "torchtitan, benchmarks/llama3_h100_202412: HBM2e of 2.4 TB/s, 500 W limit; peak as the 700 W board's"
ADA = "NVIDIA Ada GPU Architecture white paper, appendix A: fp32 accumulation; PCIe 4.0 x16"
TABLE: dict[str, Gpu] = {
    gpu.name: gpu
    for gpu in (
        Gpu("a100-40gb", "ampere", 312e12, 40, 1555, 300, 400, r"(NVIDIA )?A100-SXM4-40GB", A100),
        Gpu("a100-80gb", "ampere", 312e12, 80, 2039, 300, 400, r"(NVIDIA )?A100-SXM4-80GB", A100),
        Gpu("a100-40gb-pcie", "ampere", 312e12, 40, 1555, 32, 250, r"(NVIDIA )?A100-PCIE-40GB", A100, 400),
        Gpu("a100-80gb-pcie", "ampere", 312e12, 80, 1935, 32, 300, r"(NVIDIA )?A100 80GB PCIe", A100, 400),
        Gpu("h100", "hopper", 989.4e12, 80, 3350, 450, 700, r"(NVIDIA )?H100 80GB HBM3", H100),
        Gpu("h100-96gb-500w", "hopper", 989.4e12, 96, 2400, 450, 500, "", LIMITED, 700),
        Gpu("h100-pcie", "hopper", 756e12, 80, 2000, 64, 350, r"(NVIDIA )?H100 PCIe", H100, 700),
        Gpu("h200", "hopper", 989.4e12, 141, 4800, 450, 700, r"(NVIDIA )?H200", "NVIDIA H200 datasheet (2024), SXM"),
        Gpu(
            "b200", "blackwell", 2250e12, 180, 7700, 900, 1000, r"(NVIDIA )?B200",
            "NVIDIA HGX B200 datasheet (2025): an eighth of eight boards' 36 PFLOP/s with sparsity, halved",
        ),
        Gpu(
            "mi300x", "cdna3", 1307.4e12, 192, 5300, 448, 750, r"AMD Instinct MI300X.*",
            "AMD Instinct MI300X data sheet (2023); links: seven of 64 GB/s each way",
        ),
        Gpu("rtx4090", "ada", 165.2e12, 24, 1008, 32, 450, r"(NVIDIA )?(GeForce )?RTX 4090", ADA),
        Gpu("l40s", "ada", 362.05e12, 48, 864, 32, 350, r"(NVIDIA )?L40S", "NVIDIA L40S datasheet (2023); PCIe 4.0"),
    )
}  # fmt: skip


def lookup(device_name: str) -> Gpu | None:
    """The row for torch's device name, e.g. `NVIDIA A100-SXM4-80GB`; None where the table does not hold that board."""
    name = device_name.strip()
    return next((gpu for gpu in TABLE.values() if gpu.device and re.fullmatch(gpu.device, name, re.IGNORECASE)), None)


def by_name(name: str) -> Gpu:
    """The row that a configuration names, e.g. `a100-80gb`. Raises `UserError` with the nearest."""
    key = name.lower().replace("_", "-")
    gpu = TABLE.get(key)
    if gpu is None:
        kin = [row for row in TABLE if row.startswith(key)]
        hint = f"; give {' or '.join(kin)}" if kin else did_you_mean(key, [*TABLE, "cpu"])
        raise UserError(f"cluster.gpu={name} is not in the hardware table, and its figures are not guessed{hint}")
    return gpu
