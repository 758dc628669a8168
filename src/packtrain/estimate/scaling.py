"""parameters N, tokens D → loss, and back: L(N, D) = E + A / N^α + B / D^β

    hoffmann    Hoffmann et al. (2022, arXiv 2203.15556), approach 3, equation 10: 1.69, 406.4, 410.7, 0.34, 0.28
    besiroglu   Besiroglu et al. (2024, arXiv 2404.10102) fitted the same runs again: the first fit had stopped early
                and its rounded exponents bias it; 1.8172, 482.01, 2085.43, 0.3478, 0.3658. Agrees with the other two
                approaches of Hoffmann et al., about 20 tokens a parameter.

Loss is in nats a token of their tokenizer and text (MassiveText): compare sizes with it, not tokenizers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from packtrain.errors import UserError


@dataclass(frozen=True)
class Law:
    """The five constants and where they are from."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float
    source: str

    def __post_init__(self) -> None:
        for name in ("A", "B", "alpha", "beta"):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"law: {name}={getattr(self, name)}: expected a positive number")

    def loss(self, parameters: float, tokens: float) -> float:
        """Nats a token after training N = `parameters` on D = `tokens`."""
        return self.E + self.A / parameters**self.alpha + self.B / tokens**self.beta

    def tokens_for(self, parameters: float, loss: float) -> float | None:
        """Tokens after which N = `parameters` reaches `loss`; None where it never does."""
        left = loss - self.E - self.A / parameters**self.alpha
        if left <= 0:
            return None
        power = math.log(self.B / left) / self.beta
        return math.exp(power) if power < 700 else None

    def optimal_tokens(self, parameters: float) -> float:
        """Tokens at which N = `parameters` is the best use of 6 N D FLOPs: α A / N^α = β B / D^β."""
        return (self.beta * self.B * parameters**self.alpha / (self.alpha * self.A)) ** (1 / self.beta)

    def optimal_parameters(self, loss: float) -> float:
        """The size that reaches `loss` with the fewest training FLOPs."""
        if loss <= self.E:
            raise UserError(
                f"target_loss={loss:g} is not above {self.E:g}, which no model reaches by this law "
                f"({self.source}); give a higher one"
            )
        # at the optimum B / D^β = (α / β) A / N^α
        return (self.A * (1 + self.alpha / self.beta) / (loss - self.E)) ** (1 / self.alpha)


LAWS = {
    "hoffmann": Law(1.69, 406.4, 410.7, 0.34, 0.28, "Hoffmann et al. 2022, arXiv 2203.15556, approach 3"),
    "besiroglu": Law(1.8172, 482.01, 2085.43, 0.3478, 0.3658, "Besiroglu et al. 2024, arXiv 2404.10102"),
}
RULE = 20.0  # tokens a parameter: the rule of thumb that Hoffmann et al.'s approaches 1 and 2 (table 3) come to
