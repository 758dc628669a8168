"""Score + baselines → one row per domain → the mean weighted as the mixture → plain figures for evaluation.json"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from packtrain.evaluation.held_out import Score

FIGURES = ("loss", "bits_per_byte", "unigram_bits_per_byte", "xz_bits_per_byte")


@dataclass(frozen=True)
class DomainResult:
    """The model and the two baselines on one domain's held-out text. `bytes` are UTF-8, BOS and EOS not among them."""

    score: Score
    documents: int
    bytes: int
    unigram_bits_per_byte: float
    xz_bits_per_byte: float

    def figures(self) -> dict[str, Any]:
        """Everything of this row as plain numbers, in nats per token and bits per byte."""
        return {
            "documents": self.documents,
            "bytes": self.bytes,
            "tokens": self.score.tokens,
            "nats": self.score.nats,
            "loss": self.score.loss,
            "perplexity": self.score.perplexity,
            "bits_per_byte": self.score.bits_per_byte(self.bytes),
            "unigram_bits_per_byte": self.unigram_bits_per_byte,
            "xz_bits_per_byte": self.xz_bits_per_byte,
        }


def compare(results: Mapping[str, DomainResult], weights: Mapping[str, float]) -> dict[str, Any]:
    """`{"domains": {name: figures}, "weighted": figures}`; perplexity of the mean is exp of the mean loss.

    The mean takes the mixture's weights, normalised over the domains in `results`; a domain the mixture does not name
    has weight 0. Where none of them has a weight, all count alike.
    """
    known = {name: max(0.0, float(weights.get(name, 0.0))) for name in results}
    total = sum(known.values())
    share = {name: weight / total if total else 1 / len(known) for name, weight in known.items()}
    domains = {}
    for name, result in results.items():
        figures = result.figures()
        domains[name] = {"weight": share[name], **figures, **against_baselines(figures)}
    mean: dict[str, float] = {
        figure: sum(share[name] * domains[name][figure] for name in results) for figure in FIGURES
    }
    mean["perplexity"] = Score(nats=mean["loss"], tokens=1).perplexity
    return {"domains": domains, "weighted": {**mean, **against_baselines(mean)}}


def against_baselines(figures: Mapping[str, float]) -> dict[str, float]:
    """By how many percent the model's bits per byte are under each baseline; negative where the baseline is better."""
    return {
        f"under_{name}_percent": 100 * (1 - figures["bits_per_byte"] / figures[f"{name}_bits_per_byte"])
        for name in ("unigram", "xz")
    }
