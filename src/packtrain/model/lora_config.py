"""lora.rank, alpha, targets → LoraConfig and how many numbers it trains; free of torch, for the planner"""

from __future__ import annotations

from dataclasses import dataclass

from packtrain.errors import UserError
from packtrain.model.config import ModelConfig

MATRICES = {
    "wq": "attention.wq", "wk": "attention.wk", "wv": "attention.wv", "wo": "attention.wo",
    "w1": "feed_forward.w1", "w2": "feed_forward.w2", "w3": "feed_forward.w3",
}  # fmt: skip


@dataclass(frozen=True)
class LoraConfig:
    """W + (alpha / rank) · B A for each of the `targets` in every layer, W frozen (Hu et al., 2021, arXiv 2106.09685).

    `rank` 0 is no LoRA: all weights are trained.
    """

    rank: int = 0
    alpha: float = 16.0
    targets: tuple[str, ...] = tuple(MATRICES)

    def __post_init__(self) -> None:
        if self.rank < 0:
            raise UserError(f"lora.rank={self.rank}: expected 1 or more, or 0 to train all weights")
        if not 0 < self.alpha < float("inf"):
            raise UserError(f"lora.alpha={self.alpha:g}: expected more than 0")
        unknown = [name for name in self.targets if name not in MATRICES]
        if unknown or not self.targets:
            named = unknown[0] if unknown else "[]"
            raise UserError(f"lora.targets: {named} is no matrix of a layer; known: {', '.join(MATRICES)}")

    @property
    def scale(self) -> float:
        return self.alpha / self.rank


def adapter_parameters(config: ModelConfig, lora: LoraConfig) -> int:
    """Numbers in A (rank, in) and B (out, rank) of all targets and layers."""
    C, K, F = config.dim, config.kv_heads * config.head_dim, config.hidden_dim
    widths = {"wq": 2 * C, "wk": C + K, "wv": C + K, "wo": 2 * C, "w1": C + F, "w2": C + F, "w3": C + F}
    if config.ffn_matrices == 2:
        del widths["w3"]
    return config.n_layers * lora.rank * sum(widths.get(name, 0) for name in set(lora.targets))
