"""conf/template/*.yaml → ChatTemplate: turns of a conversation → segments of text, those of the model marked

    user: Name a colour.  assistant: Red.
        alpaca → BOS "### Instruction:\\nName a colour.\\n\\n### Response:\\n" | "Red." EOS

A template is five short texts with places in braces and no program: nothing in a checkpoint is ever evaluated. Each
segment is encoded by itself, in training and when it is asked, so that the ids of a prompt are the same in both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from packtrain.errors import UserError

ROLES = ("system", "user", "assistant")
Turn = tuple[str, str]  # role, content


class Encoder(Protocol):
    """What is needed of a tokenizer."""

    @property
    def bos_id(self) -> int: ...
    @property
    def eos_id(self) -> int: ...
    def encode(self, text: str) -> list[int]: ...


@dataclass(frozen=True)
class ChatTemplate:
    """system, user: a turn, its words at {content}.  input: how an instruction and its input, as Alpaca's files have
    them, become one user's turn.  answer: what stands before the model's words, which EOS ends.  after: what stands
    between that EOS and the next turn."""

    name: str
    system: str = "{content}\n\n"
    user: str = "{content}\n"
    input: str = "{instruction}\n{input}"
    answer: str = ""
    after: str = ""

    def __post_init__(self) -> None:
        for key, places in (("system", ("content",)), ("user", ("content",)), ("input", ("instruction", "input"))):
            for place in places:
                if getattr(self, key).count(f"{{{place}}}") != 1:
                    raise UserError(f"template.{key}={getattr(self, key)!r}: expected {{{place}}} in it, once")

    def joined(self, instruction: str, given: str) -> str:
        """An instruction and its input as one user's turn; without an input the instruction alone."""
        return filled(self.input, {"instruction": instruction, "input": given}) if given.strip() else instruction

    def segments(self, turns: Sequence[Turn]) -> list[tuple[str, bool]]:
        """(text, whether the model is to write it). Turns that end with the user's end with what asks for an answer."""
        found: list[tuple[str, bool]] = []
        before = ""
        for role, content in turns:
            if role == "assistant":
                found += [(before + self.answer, False), (content.strip(), True)]
                before = self.after
            else:
                before += filled(self.user if role == "user" else self.system, {"content": content.strip()})
        if turns and turns[-1][0] != "assistant":
            found.append((before + self.answer, False))
        return found

    def encode(self, tokenizer: Encoder, turns: Sequence[Turn]) -> list[int]:
        """BOS and the segments as `data.masked` marks them: ~id for what is only read. Each answer ends with EOS."""
        tokens = [~tokenizer.bos_id]
        for text, written in self.segments(turns):
            found = tokenizer.encode(text)
            tokens += [*found, tokenizer.eos_id] if written else [~token for token in found]
        return tokens

    def prompt(self, tokenizer: Encoder, turns: Sequence[Turn]) -> list[int]:
        """The plain ids, without BOS, of turns that end with the user's."""
        return [~token if token < 0 else token for token in self.encode(tokenizer, turns)[1:]]


def filled(text: str, values: dict[str, str]) -> str:
    """Each {place} by its value, in one pass: braces in a value stay what they are."""
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), text)
