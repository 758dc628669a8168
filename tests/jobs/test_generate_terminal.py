"""packtrain generate interactive=true as somebody at a terminal meets it: a pseudo-terminal, its Ctrl-D and Ctrl-C"""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from packtrain.checkpoint.directory import checkpoint_path, commit, read_meta
from packtrain.tokenizer.template import ChatTemplate
from tests.export.making import make_run

# The child takes the terminal as its own, without which Ctrl-C reaches nobody.
PROGRAM = """
import fcntl, runpy, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
runpy.run_module("packtrain", run_name="__main__")
"""
CTRL_C, CTRL_D = "\x03", "\x04"


class Terminal:
    """packtrain at a terminal of its own."""

    def __init__(self, *command: str) -> None:
        self.ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *command],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self.seen = ""

    def wait_for(self, text: str, seconds: float = 60) -> str:
        """What was printed since the last time, up to and with `text`."""
        until = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < until, self.seen
            if select.select([self.ours], [], [], 0.1)[0]:
                self.seen += os.read(self.ours, 4096).decode(errors="replace")
        before, _, self.seen = self.seen.partition(text)
        return before + text

    def wait_for_more(self) -> None:
        """Until anything is printed."""
        self.seen = ""
        while not self.seen:
            assert select.select([self.ours], [], [], 60)[0], "nothing comes"
            self.seen += os.read(self.ours, 4096).decode(errors="replace")

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def ends(self) -> tuple[int, str]:
        """The exit code, and what was printed last."""
        try:
            while part := os.read(self.ours, 4096):
                self.seen += part.decode(errors="replace")
        except OSError:  # how Linux says that the other side has closed
            pass
        return self.process.wait(60), self.seen

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("terminal"))


@pytest.fixture(scope="module")
def chatty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with a chat template."""
    run = make_run(tmp_path_factory.mktemp("chatty"))
    path = checkpoint_path(run, 5)
    meta = {**read_meta(path), "chat": asdict(ChatTemplate("plain"))}

    def same(folder: Path) -> None:
        shutil.copyfile(path / "model.safetensors", folder / "model.safetensors")

    commit(path, same, meta)
    return run


@pytest.mark.parametrize(("key", "code", "last"), [(CTRL_D, 0, ""), ("\n", 0, ""), (CTRL_C, 130, "interrupted")])
def test_it_asks_answers_and_ends(run: Path, key: str, code: int, last: str) -> None:
    command = ["generate", f"checkpoint={run}", "interactive=true", "max_new_tokens=5", "context=8", "device=cpu"]
    terminal = Terminal(*command)
    try:
        terminal.wait_for("an empty line or Ctrl-D ends\r\n")
        terminal.wait_for("> ")
        terminal.type("def f\n")
        answer = terminal.wait_for("\r\n> ")
        assert answer.startswith("def f\r\ndef f"), "what was typed, then the text from its beginning"
        terminal.type("def f(x): return x and more\n")
        terminal.wait_for("more\r\n")
        said = terminal.wait_for("\r\n")
        assert said.startswith("the prompt has ") and "its beginning is cut off" in said, "between typing and text"
        terminal.wait_for("def f(x): return x and more")
        terminal.wait_for("\r\n> ")
        terminal.type(key)
        found, text = terminal.ends()
        assert found == code and last in text and "Traceback" not in text
    finally:
        terminal.close()


@pytest.mark.parametrize("more", [[], ["chat=true"]], ids=["text", "chat"])
def test_ctrl_c_during_an_answer_gives_the_prompt_back(run: Path, chatty: Path, more: list[str]) -> None:
    command = ["generate", f"checkpoint={chatty if more else run}", "interactive=true", "max_new_tokens=1000000", *more]
    terminal = Terminal(*command, "device=cpu", "temperature=0")
    try:
        for number in range(2):
            terminal.wait_for("\r\n> ")
            terminal.type(f"def f{number}\n")
            terminal.wait_for(f"def f{number}\r\n")
            terminal.wait_for_more()
            terminal.type(CTRL_C)
        terminal.wait_for("\r\n> ")
        terminal.type(CTRL_D)
        code, text = terminal.ends()
        assert code == 0 and "Traceback" not in text and "interrupted" not in text
    finally:
        terminal.close()


def test_sigterm_during_an_answer_ends_the_program(run: Path) -> None:
    terminal = Terminal("generate", f"checkpoint={run}", "interactive=true", "max_new_tokens=1000000", "temperature=0")
    try:
        terminal.wait_for("> ")
        terminal.type("def f\n")
        terminal.wait_for("def f\r\n")
        terminal.wait_for_more()
        terminal.process.terminate()
        code, text = terminal.ends()
        assert code == 130 and "packtrain: interrupted" in text and "Traceback" not in text
    finally:
        terminal.close()
