"""GenerationConfig: how text is drawn"""

from __future__ import annotations

from dataclasses import dataclass

from packtrain.errors import UserError


@dataclass(frozen=True)
class GenerationConfig:
    """`temperature` 0 is greedy; `top_k` None and `top_p` 1 leave the distribution whole.

    `repetition_penalty` divides the positive logits of tokens that were there before and multiplies the negative ones
    (Keskar et al., 2019, arXiv 1909.05858); 1 leaves them. A text ends before the first of `stop`. `context` is how
    many tokens the model looks back on (None: its max_sequence_length).
    """

    max_new_tokens: int = 200
    temperature: float = 0.8
    top_p: float = 0.95
    top_k: int | None = None
    seed: int = 1
    context: int | None = None
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.max_new_tokens < 0:
            raise UserError(f"max_new_tokens={self.max_new_tokens}: expected 0 or more")
        if not 0 <= self.temperature < float("inf"):
            raise UserError(f"temperature={self.temperature}: expected 0 (greedy) or more")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p={self.top_p}: expected more than 0 and at most 1")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top_k={self.top_k}: expected 1 or more, or null")
        if self.context is not None and self.context < 1:
            raise UserError(f"context={self.context}: expected 1 or more, or null")
        if not 0 < self.repetition_penalty < float("inf"):
            raise UserError(f"repetition_penalty={self.repetition_penalty}: expected more than 0; 1 changes nothing")
        if "" in self.stop:
            raise UserError("stop holds an empty text, which would end every text at once; leave it out")
