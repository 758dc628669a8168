"""docstrings of each module, pydoc's topics → prose documents; what held-out prose shares with training text is cut

modules ─ast→ docstrings ─┐
                          ├→ documents ─overlap with the training text of all three Python domains→ held-out prose
pydoc_data.topics ────────┘
"""

from __future__ import annotations

import ast
import inspect
import platform
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from packtrain.data.documents import Document, split_of
from packtrain.data.domain import Generator
from packtrain.data.domains import python_code, unicode
from packtrain.data.domains.overlap import TrainingText
from packtrain.data.domains.python_modules import Module, modules, origin
from packtrain.data.report import Report

NAME = "python_prose"
REASON = "overlaps training text"
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def generate(source: Path | None, held_out: float, report: Report) -> Iterator[Document]:
    """`source`: the folder of another library, default the running Python's own."""
    documents = [*_docstring_documents(source, held_out, report), *_topic_documents(held_out)]
    training = [d.text for d in documents if d.split == "train"]
    for other in (python_code, unicode):
        training += [d.text for d in other.generate(source, held_out, Report()) if d.split == "train"]
    held = [d for d in documents if d.split == "held_out"]
    texts = cut_overlaps([d.text for d in held], TrainingText(training), report)
    cleaned = {d.id: text for d, text in zip(held, texts, strict=True)}
    for document in documents:
        text = cleaned.get(document.id, document.text)
        if text:
            yield replace(document, text=text)
        else:
            report.drop(REASON)


def cut_overlaps(texts: list[str], training: TrainingText, report: Report) -> list[str]:
    """The texts without the paragraphs that overlap, until none is left: a cut brings new neighbours together."""
    paragraphs = [re.split(r"\n\n+", text.strip("\n")) for text in texts]
    while True:
        joined = ["\n\n".join(parts) for parts in paragraphs]
        found = False
        for i, mask in enumerate(training.overlaps(joined)):
            if not mask.any():
                continue
            found = True
            kept, start = [], 0
            for part in paragraphs[i]:
                if mask[start : start + len(part)].any():
                    report.cut.update({f"{REASON}: paragraphs": 1, f"{REASON}: characters": len(part)})
                else:
                    kept.append(part)
                start += len(part) + 2
            paragraphs[i] = kept
        if not found:
            return [f"{text}\n" if text.strip() else "" for text in joined]


def docstrings(module: Module) -> list[str] | None:
    """The docstrings of a module in source order, indentation removed; None where it does not parse."""
    assert module.source is not None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old escapes in old modules
            tree = ast.parse(module.source)
    except (SyntaxError, ValueError):
        return None
    nodes = [node for node in ast.walk(tree) if isinstance(node, DOCUMENTED)]
    nodes.sort(key=lambda node: getattr(node, "lineno", 0))
    found = [ast.get_docstring(node, clean=False) for node in nodes]
    cleaned = [inspect.cleandoc(text).strip() for text in found if text]
    return [text for text in cleaned if text]


def _docstring_documents(source: Path | None, held_out: float, report: Report) -> Iterator[Document]:
    for module in modules(source):
        texts = docstrings(module) if module.source is not None else None
        if module.source is None:
            report.drop("cannot be decoded")
        elif texts is None:
            report.drop("does not parse")
        elif not texts:
            report.drop("no docstrings")
        else:
            origin = f"Python {platform.python_version()} docstrings of {module.path}"
            yield _document(module.name, "\n\n".join(texts), origin, module.split(held_out))


def _topic_documents(held_out: float) -> Iterator[Document]:
    try:
        from pydoc_data.topics import topics
    except ImportError:  # some distributions ship Python without its documentation
        return
    for name, text in sorted(topics.items()):
        if text.strip():
            origin = f"Python {platform.python_version()} pydoc topic {name}"
            yield _document(f"topic:{name}", text.strip("\n"), origin, split_of(f"python topic {name}", held_out))


def _document(name: str, text: str, origin: str, split: str) -> Document:
    return Document(f"{NAME}/{name}", text.rstrip("\n") + "\n", NAME, origin, None, "en", python_code.LICENCE, split)


DOMAIN = Generator(NAME, generate, origin)
