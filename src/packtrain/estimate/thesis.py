"""a target loss, tokens to serve → each size with the tokens that reach it → training plus serving → the cheapest

LLaMA's thesis (arXiv 2302.13971, §1): for a target quality the preferred model is not the fastest to train but the
fastest at inference. Costs are FLOPs where no GPU is named (6 N + attention a token trained, 2 N a token served),
and GPU-hours where one is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from packtrain.errors import UserError
from packtrain.estimate.flops import flops_per_token
from packtrain.estimate.scaling import RULE, Law
from packtrain.model.config import ModelConfig, parameter_count

# Shapes of LLaMA's proportions; those that conf/model/ has are the same there (a test compares).
LADDER: dict[str, tuple[int, int, int]] = {  # name: dim, layers, heads
    "400m": (1024, 26, 16), "1b": (2048, 16, 16), "3b": (3200, 26, 32), "5b": (3584, 30, 28), "7b": (4096, 32, 32),
    "10b": (4608, 36, 36), "13b": (5120, 40, 40), "20b": (5888, 46, 46), "33b": (6656, 60, 52), "45b": (7424, 66, 58),
    "65b": (8192, 80, 64), "95b": (9600, 84, 75), "130b": (10752, 92, 84), "180b": (12288, 96, 96),
    "260b": (14336, 104, 112), "400b": (16384, 122, 128),
}  # fmt: skip
LLAMA = {"7b": 1.0e12, "13b": 1.0e12, "33b": 1.4e12, "65b": 1.4e12}  # tokens each was trained on (table 2)
Hours = Callable[[ModelConfig, float], "float | None"]  # (model, tokens) → GPU-hours


@dataclass(frozen=True)
class Candidate:
    """One size. `tokens` reach the target loss; costs are in the unit of `Comparison.unit`."""

    name: str
    parameters: int
    tokens: float
    overtraining: float
    training: float
    serving: float

    @property
    def total(self) -> float:
        return self.training + self.serving


@dataclass(frozen=True)
class Comparison:
    """`cheapest_to_train` and `cheapest` are names in `candidates`, which are in the order of their size."""

    loss: float
    candidates: tuple[Candidate, ...]
    unreachable: tuple[str, ...]
    unit: str
    cheapest_to_train: str
    cheapest: str


def ladder(like: ModelConfig) -> list[ModelConfig]:
    """The sizes that are compared, with the vocabulary and sequence length of `like`; `like` itself among them."""
    made = {
        name: ModelConfig(
            dim=dim, n_layers=layers, n_heads=heads, vocab_size=like.vocabulary, name=name,
            max_sequence_length=like.max_sequence_length,
        )
        for name, (dim, layers, heads) in LADDER.items()
    }  # fmt: skip
    made[like.name or f"{parameter_count(like):,}"] = like
    return sorted(made.values(), key=parameter_count)


def compare(
    law: Law, models: Sequence[ModelConfig], loss: float, inference_tokens: float, sequence_length: int,
    training_hours: Hours | None = None, serving_hours: Hours | None = None,
) -> Comparison:  # fmt: skip
    """Every model that reaches `loss` by `law`. `UserError` where none of them does."""
    found, never = [], []
    law.optimal_parameters(loss)  # refuses a loss that nothing reaches
    for model in models:
        N = parameter_count(model)
        tokens = law.tokens_for(N, loss)
        if tokens is None or tokens > 1e16:
            never.append(model.name)
            continue
        training = flops_per_token(model, sequence_length) * tokens
        serving = 2.0 * N * inference_tokens
        if training_hours and serving_hours:
            hours, served = training_hours(model, tokens), serving_hours(model, inference_tokens)
            if hours is None or served is None:
                never.append(model.name)
                continue
            training, serving = hours, served
        found.append(Candidate(model.name, N, tokens, tokens / law.optimal_tokens(N), training, serving))
    if not found:
        raise UserError(
            f"target_loss={loss:g}: no size up to {models[-1].name} reaches it by this law; give a higher one"
        )
    unit = "GPU-hours" if training_hours else "FLOPs"
    trained = min(found, key=lambda c: c.training).name
    return Comparison(loss, tuple(found), tuple(never), unit, trained, min(found, key=lambda c: c.total).name)


def overtraining(law: Law, vocabulary: int = 32_000) -> dict[str, dict[str, float]]:
    """LLaMA's four sizes: tokens a parameter, over the law's optimum, and over the rule of 20 tokens a parameter."""
    table = {}
    for name, tokens in LLAMA.items():
        dim, layers, heads = LADDER[name]
        N = parameter_count(ModelConfig(dim=dim, n_layers=layers, n_heads=heads, vocab_size=vocabulary))
        ratio = tokens / N
        table[name] = {
            "tokens": tokens, "tokens_per_parameter": ratio, "over_law": tokens / law.optimal_tokens(N),
            "over_rule": ratio / RULE,
        }  # fmt: skip
    return table
