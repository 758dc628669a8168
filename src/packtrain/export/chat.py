"""our template, five texts → Hugging Face's chat_template, a Jinja program that gives the same ids

A response is a segment of its own here, and its first piece begins with the space that SentencePiece writes before a
word; in the one text that Jinja makes that space is written out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def jinja(chat: Mapping[str, str]) -> str:
    """`chat` is a `ChatTemplate` as a checkpoint carries it."""
    system, user = (_with_content(chat[role]) for role in ("system", "user"))
    answer, after = json.dumps(chat["answer"]), json.dumps(chat["after"])
    return (
        "{{ bos_token }}{% for message in messages %}"
        f"{{% if message['role'] == 'system' %}}{{{{ {system} }}}}"
        f"{{% elif message['role'] == 'user' %}}{{{{ {user} }}}}"
        f"{{% else %}}{{{{ {answer} + ' ' + message['content'] | trim + eos_token }}}}"
        f"{{% if not loop.last %}}{{{{ {after} }}}}{{% endif %}}{{% endif %}}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{{{{ {answer} }}}}{{% endif %}}"
    )


def _with_content(text: str) -> str:
    before, after = text.split("{content}")
    return f"{json.dumps(before)} + message['content'] | trim + {json.dumps(after)}"


def write_chat_template(folder: Path, chat: Mapping[str, str]) -> None:
    """Into the export's tokenizer_config.json. The template writes BOS and EOS, which are then read as such; hence text
    that looks like them is no longer text to this tokenizer (`split_special_tokens`)."""
    path = folder / "tokenizer_config.json"
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    values |= {"chat_template": jinja(chat), "split_special_tokens": False}
    path.write_text(json.dumps(values, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
