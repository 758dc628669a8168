"""Every mistake: one line on stderr that helps, the right exit code, no traceback, nothing on the disk"""

import builtins
from pathlib import Path
from typing import Any

import pytest

from packtrain import cli, cli_instantiate
from packtrain.errors import Failure, UserError
from packtrain.jobs import plan, runs


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("HYDRA_FULL_ERROR", "PACKTRAIN_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *words: str, code: int = 2) -> str:
    assert cli.main(list(words)) == code
    captured = capsys.readouterr()
    assert captured.err.startswith("packtrain: ") and captured.err.count("\n") == 1, captured.err
    assert list(Path.cwd().iterdir()) == []
    return captured.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["plam"], ["unknown command 'plam'", "did you mean 'plan'", "train"]),
        (["--halp"], ["unknown option '--halp'"]),
        (["plan", "--fast"], ["--fast"]),
        (["plan", "--cfg", "everything"], ["everything"]),
        (["plan", "modle=7b"], ["unknown key 'modle'", "did you mean 'model'"]),
        (["plan", "data.tokenz=1"], ["unknown key 'data.tokenz'", "did you mean 'tokens'", "batch_tokens"]),
        (["plan", "mfu.high=1"], ["unknown key 'mfu.high'"]),
        (["plan", "+data.extra=1"], ["unknown key 'data.extra'"]),
        (["plan", "~data.nothing"], ["data.nothing"]),
        (["plan", "model=8b"], ["model=8b", "did you mean '7b'", "13b, 150m"]),
        (["plan", "model=8b", "modle=3"], ["model=8b"]),
        (["plan", "data.tokens=many"], ["data.tokens='many'", "expected integer"]),
        (["plan", "mfu=fast"], ["mfu='fast'", "expected number"]),
        (["plan", "mfu=1.5"], ["mfu=1.5", "between 0 and 1"]),
        (["plan", "format=xml"], ["format=xml", "json, text"]),
        (["plan", "cluster.gpu=h300"], ["cluster.gpu=h300", "did you mean 'h200'"]),
        (["plan", "cluster.nodes=0"], ["cluster.nodes=0", "at least 1"]),
        (["plan", "model.dim=4100"], ["dim=4100 is not divisible by n_heads=32", "nearest: 4096"]),
        (["plan", "model.dim=???"], ["missing: model.dim", "give model.dim="]),
        (["plan", "model.dim=${nowhere}"], ["nowhere"]),
        (["train", "model"], ["cannot read 'model'", "expected key=value"]),
        (["evaluate", "checkpoint=x", "tasks=[mine.yaml]"], ["tasks=mine.yaml", "given as task_file=[mine.yaml]"]),
        (["plan", "model"], ["action=model", "known: calibrate"]),
        (["plan", "mfu=[1,2"], ["cannot read 'mfu=[1,2'"]),
        (["plan", "model=7b,13b"], ["model=7b,13b", "--multirun"]),
        (["plan", "-m", "model=7b,8b"], ["model=8b", "did you mean '7b'"]),
        (["plan", "-cd", "nowhere"], ["nowhere", "no such folder"]),
        (["runs", "delete=x"], ["no run 'x'"]),
        (["runs", "compare=[a,b]"], ["'a'"]),
        (["runs", "compare=[a]"], ["two names"]),
        (["completion", "tcsh"], ["completion tcsh", "bash, fish, zsh"]),
    ],
    ids=lambda value: " ".join(value) if value[0] in ("plan", "runs") else None,
)
def test_a_mistake_is_answered_in_one_line(
    words: list[str], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused(capsys, *words)
    for part in expected:
        assert part in message


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (UserError("mend this\nplease"), 2, "packtrain: mend this please\n"),
        (Failure("it broke"), 1, "packtrain: it broke\n"),
        (KeyboardInterrupt(), 130, "packtrain: interrupted\n"),
        (
            OSError(28, "No space left on device", "/x"),
            1,
            "packtrain: No space left on device: /x; free some space, then run the same command again\n",
        ),
        (
            PermissionError(13, "Permission denied", "/x"),
            1,
            "packtrain: Permission denied: /x; choose a folder that you may write to, or change its permissions\n",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_every_way_to_fail_has_its_exit_code(
    raised: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(job: Any) -> None:
        raise raised

    monkeypatch.setattr(plan, "run", run)
    assert cli.main(["plan"]) == code
    assert capsys.readouterr().err == said


def test_a_bug_shows_its_traceback_and_exits_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plan, "run", lambda job: 1 / 0)
    assert cli.main(["plan"]) == 1
    message = capsys.readouterr().err
    assert "Traceback" in message and message.splitlines()[-1].startswith("packtrain: this is a bug in packtrain: Zero")


@pytest.mark.parametrize("variable", ["HYDRA_FULL_ERROR", "PACKTRAIN_DEBUG"])
def test_the_traceback_is_there_for_who_asks(
    variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, "1")
    assert cli.main(["plan", "modle=7b"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_leaves_ends_the_program_quietly(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def run(job: Any) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(plan, "run", run)
    monkeypatch.setattr(cli.os, "dup2", lambda *_: None)
    assert cli.main(["plan"]) == 141
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"_target_": "packtrain.nothing.Here"}, "callbacks.x: cannot make packtrain.nothing.Here"),
        ({"_target_": "builtins.dict", "_args_": [1, 2, 3]}, "callbacks.x: cannot make builtins.dict"),
        (
            {"_target_": "packtrain.callbacks.carbon.Carbon", "pue": "low"},
            "callbacks.x.pue='low': expected number",
        ),
        ({"_target_": "packtrain.callbacks.carbon.Carbon", "pue": 0.5}, "pue=0.5"),
        ({"interval": 3}, "callbacks.x: expected null or a group of settings with _target_"),
        (3, "callbacks.x: expected null or a group of settings with _target_"),
    ],
)
def test_a_callback_that_cannot_be_made_names_itself(entry: Any, said: str) -> None:
    with pytest.raises(UserError) as caught:
        cli_instantiate.instantiate("callbacks", {"x": entry})
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


def test_open_sets_become_objects_and_null_removes_one() -> None:
    entries = {"a": {"_target_": "fractions.Fraction", "numerator": 3}, "b": None}
    assert cli_instantiate.instantiate("callbacks", entries) == {"a": 3}
    assert cli_instantiate.instantiate("loggers", None) == {}


def test_delete_refuses_where_nobody_can_answer_and_obeys_the_answer(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = empty_folder / "runs" / "sizes" / "model=1m"
    run_dir.mkdir(parents=True)
    (run_dir / "config.yaml").write_text("name: sizes\n")
    assert cli.main(["runs", "delete=sizes/model=1m"]) == 2
    assert "yes=true" in capsys.readouterr().err and run_dir.exists()
    assert cli.main(["runs", "delete=../runs", "yes=true"]) == 2
    monkeypatch.setattr(runs.sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(builtins, "input", lambda question: "n")
    assert cli.main(["runs", "delete=sizes/model=1m"]) == 0 and run_dir.exists()
    monkeypatch.setattr(builtins, "input", lambda question: "y")
    assert cli.main(["runs", "delete=sizes/model=1m"]) == 0 and not run_dir.exists()
