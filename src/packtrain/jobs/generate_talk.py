"""one prompt, or a talk at the terminal → text on stdout as it is drawn; of a chat the answers alone"""

from __future__ import annotations

import sys
from itertools import chain

from packtrain.errors import UserError
from packtrain.inference.chat import ChatCodec, answered
from packtrain.inference.decoder import Decoder
from packtrain.inference.generation import Codec, context_limit, generate
from packtrain.inference.settings import GenerationConfig
from packtrain.jobs.opening import Ready
from packtrain.jobs.telling import say
from packtrain.stop import Terminated


def one(decoder: Decoder, codec: Codec, prompt: str, config: GenerationConfig, interruptible: bool = False) -> str:
    """Prints prompt and continuation as it is drawn, of a chat the answer alone; returns what was printed.

    interruptible: Ctrl-C ends the text, not the program.
    """
    text = ""
    try:
        pieces = generate(decoder, codec, prompt, config, say)  # what it has to say of the prompt comes first
        pieces = answered(pieces) if isinstance(codec, ChatCodec) else chain([prompt], pieces)
        for piece in pieces:
            text += piece
            print(piece, end="", flush=True)
    except KeyboardInterrupt as error:
        if not interruptible or isinstance(error, Terminated):
            raise
    print()
    return text


def converse(decoder: Decoder, codec: Codec, config: GenerationConfig) -> None:
    """A prompt a line, its continuation, and so on until the input ends (Ctrl-D) or an empty line.

    Ctrl-C at a terminal ends an answer that is being given, and at the prompt the program.
    """
    terminal = sys.stdin.isatty()
    what = "say something" if isinstance(codec, ChatCodec) else "type a text to continue"
    say(f"{what}; Ctrl-C cuts an answer short, an empty line or Ctrl-D ends")
    while True:
        try:
            prompt = input("> " if terminal else "")
        except EOFError:
            return
        if not prompt:
            return
        text = one(decoder, codec, prompt, config, interruptible=terminal)
        if isinstance(codec, ChatCodec):
            codec.heard(prompt, text, context_limit(decoder, config), say)


def chat_of(ready: Ready, checkpoint: str, system: str | None) -> ChatCodec:
    """Raises `UserError` where the model was taught no template."""
    if ready.template is None:
        raise UserError(
            f"chat=true: {checkpoint} has no chat template, for it was not fine-tuned: packtrain finetune "
            f"init_from={checkpoint}, or leave chat=true out"
        )
    return ChatCodec(ready.tokenizer, ready.template, system)
