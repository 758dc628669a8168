"""turns so far + what the user says ─template→ ids ─generate→ the answer, without the space before its first word

The ids are made as in training: each segment by itself. A conversation that outgrows the context loses its oldest
question and answer, whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from packtrain.inference.generation import Codec
from packtrain.tokenizer.template import ChatTemplate, Turn


class ChatCodec:
    """A tokenizer that encodes what a user says as the next turn of a conversation, ready for the answer."""

    def __init__(self, tokenizer: Codec, template: ChatTemplate, system: str | None = None) -> None:
        self.tokenizer, self.template = tokenizer, template
        self.first: list[Turn] = [] if system is None else [("system", system)]
        self.turns: list[Turn] = []

    @property
    def bos_id(self) -> int:
        return self.tokenizer.bos_id

    @property
    def eos_id(self) -> int:
        return self.tokenizer.eos_id

    def encode(self, text: str) -> list[int]:
        return self.template.prompt(self.tokenizer, [*self.first, *self.turns, ("user", text)])

    def decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids)

    def heard(self, said: str, answer: str, limit: int, say: Callable[[str], None]) -> None:
        """Remembers both. Of turns that fill more than half of `limit` tokens the oldest are forgotten, in a line."""
        self.turns += [("user", said), ("assistant", answer)]
        forgotten = 0
        while self.turns and len(self.encode("")) > limit // 2:
            self.turns, forgotten = self.turns[2:], forgotten + 1
        if forgotten:
            say(f"the conversation fills the context of {limit} tokens: its oldest {forgotten} turns are forgotten")


def answered(pieces: Iterable[str]) -> Iterator[str]:
    """The pieces of an answer without the white space before its first word."""
    begun = False
    for piece in pieces:
        piece = piece if begun else piece.lstrip()
        begun = begun or bool(piece)
        if piece:
            yield piece
