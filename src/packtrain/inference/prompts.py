"""a file of prompts → (index, prompt); results → JSON lines, one a prompt, continued where a kill left off"""

from __future__ import annotations

import json
from pathlib import Path

from packtrain.errors import UserError


def read_prompts(path: Path) -> list[str]:
    """.jsonl: the key "prompt" of each line (or a JSON string); anything else: a line is a prompt, blank ones are not.

    Raises `UserError` with the number of the line that is neither.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # no other character ends a line, U+2028 least
    except OSError as error:
        raise UserError(f"prompts={path}: {error.strerror or error}; give a .txt or .jsonl file") from error
    except UnicodeDecodeError as error:
        raise UserError(f"prompts={path}: is not UTF-8 text") from error
    if path.suffix != ".jsonl":
        prompts = [line for line in lines if line.strip()]
    else:
        prompts = [_prompt(line, path, number) for number, line in enumerate(lines, 1) if line.strip()]
    if not prompts:
        raise UserError(f"prompts={path}: holds no prompt")
    return prompts


def _prompt(line: str, path: Path, number: int) -> str:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise UserError(f"prompts={path}, line {number}: is no JSON") from error
    text = value.get("prompt") if isinstance(value, dict) else value
    if not isinstance(text, str):
        raise UserError(f'prompts={path}, line {number}: expected {{"prompt": "…"}} or a JSON string')
    return text


def done_lines(path: Path) -> int:
    """How many whole results an earlier, interrupted command left in `path`; a last line cut short is cut off."""
    if not path.exists():
        return 0
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) != len(content):
        path.write_bytes(whole)
    return whole.count(b"\n")
