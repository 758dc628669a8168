"""What surrounds the program: a closed or an ASCII stdout, values that no grammar of Hydra's reads bare"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from packtrain.cli_compose import with_quotes

PLAN = [sys.executable, "-m", "packtrain", "plan", "model=7b"]


def test_a_closed_stdout_is_no_traceback() -> None:
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *PLAN], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == ""


def test_an_ascii_stdout_shows_what_it_can() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*PLAN[:3], "--help"], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0 and "train" in done.stdout and done.stderr == ""


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("prompt=größe", "prompt='größe'"),
        ("input=übung", "input='übung'"),
        ("prompt=日本", "prompt='日本'"),
        ("prompt=It's (a test): {x}", "prompt='It\\'s (a test): {x}'"),
        ("model=1m", "model=1m"),
        ("data.tokens=1e6", "data.tokens=1e6"),
        ("prompt='quoted'", "prompt='quoted'"),
        ("+callbacks.x={_target_: a.b, step: 1}", "+callbacks.x={_target_: a.b, step: 1}"),
    ],
)
def test_a_value_that_the_grammar_cannot_read_is_quoted_for_the_user(typed: str, read: str) -> None:
    assert with_quotes(typed, multirun=False) == read
