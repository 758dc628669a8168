"""prompt → ids → (model → sample → id) × max_new_tokens → pieces of text, as soon as they are stable"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch

from packtrain.errors import UserError
from packtrain.inference.sampling import sample
from packtrain.model.llama import Llama

UNFINISHED = "\ufffd"  # what the bytes of a character that is not complete yet decode to


class Codec(Protocol):
    """What generation needs of a tokenizer."""

    @property
    def bos_id(self) -> int: ...
    @property
    def eos_id(self) -> int: ...
    def encode(self, text: str) -> list[int]: ...
    def decode(self, ids: list[int]) -> str: ...


@dataclass(frozen=True)
class GenerationConfig:
    """How text is drawn. `temperature` 0 is greedy; `top_k` None and `top_p` 1 leave the distribution whole.

    `context` is how many tokens the model looks back on (None: its max_sequence_length).
    """

    max_new_tokens: int = 200
    temperature: float = 0.8
    top_p: float = 0.95
    top_k: int | None = None
    seed: int = 1
    context: int | None = None

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


def generate(
    model: Llama, tokenizer: Codec, prompt: str, config: GenerationConfig, say: Callable[[str], None] | None = None
) -> Iterator[str]:
    """Streams the continuation of `prompt`, which is not repeated, until EOS or `max_new_tokens`.

    A context longer than the model's is cut from the left; for the prompt itself `say` (stderr by default) says so in
    one line. Every token re-runs the context: T tokens of work each, without a cache. Raises `UserError` where
    `config.context` is longer than the model's.
    """
    limit = config.context or model.config.max_sequence_length
    if limit > model.config.max_sequence_length:
        raise UserError(
            f"context={limit} is longer than the model's max_sequence_length={model.config.max_sequence_length}; "
            f"give context={model.config.max_sequence_length} or less"
        )
    prompt_ids = tokenizer.encode(prompt)
    if len(prompt_ids) + 1 > limit:
        warn = say or (lambda line: print(line, file=sys.stderr))
        warn(f"the prompt has {len(prompt_ids)} tokens, the model looks back on {limit}: its beginning is cut off")
    return stream(
        _new_ids(model, [tokenizer.bos_id, *prompt_ids], limit, tokenizer.eos_id, config), prompt_ids, tokenizer
    )


def stream(new_ids: Iterator[int], prompt_ids: list[int], tokenizer: Codec) -> Iterator[str]:
    """Pieces of text that together are decode(prompt + new) without decode(prompt).

    Decoding the whole each time keeps the space that SentencePiece writes into the first piece of a word; characters
    whose last byte has not come yet wait for it.
    """
    ids = list(prompt_ids)
    emitted = len(tokenizer.decode(ids))
    text = ""
    for token in new_ids:
        ids.append(token)
        text = tokenizer.decode(ids)
        stable = text.rstrip(UNFINISHED)
        if len(stable) > emitted:
            yield stable[emitted:]
            emitted = len(stable)
    if len(text) > emitted:
        yield text[emitted:]


@torch.inference_mode()
def _new_ids(model: Llama, ids: list[int], limit: int, eos_id: int, config: GenerationConfig) -> Iterator[int]:
    generator = torch.Generator(device="cpu").manual_seed(config.seed)
    device = model.output.weight.device
    for _ in range(config.max_new_tokens):
        tokens = torch.tensor([ids[-limit:]], device=device)  # (1, T)
        logits = model(tokens)[0, -1]  # (1, T, V) → (V,)
        token = sample(logits, config.temperature, config.top_k, config.top_p, generator)
        if token == eos_id:
            return
        ids.append(token)
        yield token
