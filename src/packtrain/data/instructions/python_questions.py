"""data.path=python: questions about the running Python's own library, answered by its source; no download, no network

modules ─ast→ public functions and classes ─→ what does it do? → its docstring's first paragraph
                                           └→ how is it called? → its signature
"""

from __future__ import annotations

import ast
import inspect
import warnings
from collections.abc import Iterator
from typing import Any

from packtrain.data.domains.python_modules import Module, modules

LONGEST = 200  # characters of an answer


def questions() -> Iterator[dict[str, Any]]:
    """Rows of the format alpaca, in the order of the library's files."""
    for module in modules(None):
        if module.source is not None and not any(part.startswith("_") for part in module.name.split(".")):
            yield from _of(module, module.source)


def _of(module: Module, source: str) -> Iterator[dict[str, Any]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old escapes in old modules
            body = ast.parse(source).body
    except (SyntaxError, ValueError):
        return
    for node in body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith("_"):
            continue
        kind = "class" if isinstance(node, ast.ClassDef) else "function"
        name = f"{module.name}.{node.name}"
        said = inspect.cleandoc(ast.get_docstring(node, clean=False) or "").strip().split("\n\n")[0]
        answer = " ".join(said.split())
        if 10 <= len(answer) <= LONGEST:
            yield {"instruction": f"What does the {kind} {name} do?", "input": "", "output": answer}
        if isinstance(node, ast.FunctionDef):
            call = f"{node.name}({ast.unparse(node.args)})"
            if len(call) <= LONGEST:
                yield {"instruction": f"How is the function {name} called?", "input": "", "output": call}
