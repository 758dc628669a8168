"""prompt → ids → decoder → pieces of text, as soon as they are stable"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch

from packtrain.errors import UserError
from packtrain.inference.batch import generate_ids
from packtrain.inference.decoder import Decoder
from packtrain.inference.settings import GenerationConfig
from packtrain.model.llama import Llama

UNFINISHED = "\ufffd"  # what the bytes of a character that is not complete yet decode to
Say = Callable[[str], None]


class Codec(Protocol):
    """What generation needs of a tokenizer."""

    @property
    def bos_id(self) -> int: ...
    @property
    def eos_id(self) -> int: ...
    def encode(self, text: str) -> list[int]: ...
    def decode(self, ids: list[int]) -> str: ...


def generate(
    model: Llama | Decoder, tokenizer: Codec, prompt: str, config: GenerationConfig, say: Say | None = None
) -> Iterator[str]:
    """Streams the continuation of `prompt`, which is not repeated, until EOS, a stop text or `max_new_tokens`.

    A context longer than the model's is cut from the left; for the prompt itself `say` (stderr by default) says so in
    one line. Raises `UserError` where `config.context` is longer than the model's.
    """
    limit = context_limit(model, config)
    prompt_ids = tokenizer.encode(prompt)
    warn_of_cut([prompt_ids], limit, say, [0])
    ids = generate_ids(decoder_of(model), [[tokenizer.bos_id, *prompt_ids]], config, limit, tokenizer.eos_id)
    return stream((token for _, token in ids), prompt_ids, tokenizer, config.stop)


def complete(
    model: Llama | Decoder,
    tokenizer: Codec,
    prompts: Sequence[str],
    config: GenerationConfig,
    say: Say | None = None,
    first: int = 0,
    numbers: Sequence[int] | None = None,
) -> list[str]:
    """The continuations of several prompts, drawn side by side. `first`: the number of the first one, for its seed;
    `numbers`: those of all, where they do not count on from it."""
    limit = context_limit(model, config)
    prompt_ids = [tokenizer.encode(prompt) for prompt in prompts]
    numbers = range(first, first + len(prompts)) if numbers is None else numbers
    warn_of_cut(prompt_ids, limit, say, numbers)
    new: list[list[int]] = [[] for _ in prompts]

    def finished(row: int) -> bool:
        if not config.stop:
            return False
        before = len(tokenizer.decode(prompt_ids[row]))
        return first_of(config.stop, tokenizer.decode([*prompt_ids[row], *new[row]]), before) is not None

    started = [[tokenizer.bos_id, *ids] for ids in prompt_ids]
    for row, token in generate_ids(
        decoder_of(model), started, config, limit, tokenizer.eos_id, finished, first, numbers
    ):
        new[row].append(token)  # before the batch goes on and asks whether the row has finished
    return ["".join(stream(iter(new[row]), prompt_ids[row], tokenizer, config.stop)) for row in range(len(prompts))]


def stream(new_ids: Iterator[int], prompt_ids: list[int], tokenizer: Codec, stop: Sequence[str] = ()) -> Iterator[str]:
    """Pieces of text that together are decode(prompt + new) without decode(prompt), up to the first stop text.

    Decoding the whole each time keeps the space that SentencePiece writes into the first piece of a word; characters
    whose last byte has not come yet wait for it, and so does what may be the beginning of a stop text.
    """
    ids = list(prompt_ids)
    start = emitted = len(tokenizer.decode(ids))
    text = ""
    for token in new_ids:
        ids.append(token)
        text = tokenizer.decode(ids)
        if (end := first_of(stop, text, start)) is not None:
            if end > emitted:
                yield text[emitted:end]
            return
        stable = len(text.rstrip(UNFINISHED)) - held_back(text, stop)
        if stable > emitted:
            yield text[emitted:stable]
            emitted = stable
    if len(text) > emitted:
        yield text[emitted:]


def first_of(stop: Sequence[str], text: str, start: int) -> int | None:
    """Where the first stop text begins at or behind `start`; None where there is none."""
    places = [at for at in (text.find(word, start) for word in stop) if at >= 0]
    return min(places, default=None)


def held_back(text: str, stop: Sequence[str]) -> int:
    """How many characters at the end of `text` may be the beginning of a stop text."""
    longest = 0
    for word in stop:
        for size in range(min(len(word) - 1, len(text)), longest, -1):
            if text.endswith(word[:size]):
                longest = size
                break
    return longest


def decoder_of(model: Llama | Decoder) -> Decoder:
    """The model ready to generate, in the dtype that it computes in."""
    if isinstance(model, Decoder):
        return model
    return Decoder.of(model, "fp32" if model.compute_dtype == torch.float32 else "bf16")


def context_limit(model: Llama | Decoder, config: GenerationConfig) -> int:
    longest = model.config.max_sequence_length
    limit = config.context or longest
    if limit > longest:
        raise UserError(
            f"context={limit} is longer than the model's max_sequence_length={longest}; give context={longest} or less"
        )
    return limit


def warn_of_cut(prompts: Sequence[list[int]], limit: int, say: Say | None, numbers: Sequence[int]) -> None:
    """One line for a prompt that does not fit with its BOS, or for the numbers of those that do not."""
    warn = say or (lambda line: print(line, file=sys.stderr))
    long = {number: len(ids) + 1 for number, ids in zip(numbers, prompts, strict=True) if len(ids) + 1 > limit}
    if len(prompts) == 1 and numbers[0] == 0 and long:
        warn(f"the prompt has {long[0]} tokens, the model looks back on {limit}: its beginning is cut off")
    elif long:
        which = f"prompt {next(iter(long))} has" if len(long) == 1 else f"prompts {', '.join(map(str, long))} have"
        warn(f"{which} more than the {limit} tokens that the model looks back on: the beginning is cut off")
