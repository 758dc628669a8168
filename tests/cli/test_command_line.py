"""The command line as its user sees it: help, version, speed, sweeps, completion, Hydra's flags"""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from packtrain import __version__, cli, cli_compose, cli_help, cli_run, stop
from packtrain.jobs import plan
from tests.composing import composed


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main(list(words)) == 0, capsys.readouterr().err
    return capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"], ["help"]])
def test_help_lists_every_command_with_what_it_does(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, *words)
    for command in cli_help.commands():
        line = next(line for line in text.splitlines() if line.strip().startswith(f"{command} "))
        assert len(line.split()) > 3


@pytest.mark.parametrize("command", cli_help.commands())
def test_the_help_of_a_command_names_its_keys_choices_flags_and_two_examples(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, command, "--help")
    for key in composed(command):
        assert f"  {key}" in text, key
    assert "--multirun" in text and "--cfg job" in text
    assert text.split("examples:")[1].count(f"packtrain {command}") >= 2
    if "  experiment=" in text:
        assert "experiment=NAME" in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--version") == f"packtrain {__version__}\n"


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["plan", "model=7b"], ["runs"]], ids=" ".join)
def test_light_commands_answer_within_a_second_and_a_half_without_torch(words: list[str]) -> None:
    program = (
        "import sys; from packtrain.cli import main; code = main(sys.argv[1:]);"
        "heavy = {'torch', 'lightning', 'transformers', 'litdata', 'numpy'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    # Of processor time: the promise is the program's, not that of a busy machine. It waits for nothing else.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.5


def test_cfg_shows_the_configuration_and_runs_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "run", lambda job: pytest.fail("it ran"))
    assert "n_layers: 40" in said(capsys, "plan", "--cfg", "job", "model=13b")
    assert said(capsys, "plan", "model=13b", "-c", "job", "-p", "model.recipe").splitlines()[1:] == [
        "learning_rate: 0.0003",
        "batch_tokens: 4194304",
        "tokens: 1000000000000",
        "warmup_steps: 2000",
    ]
    assert "tokens: 1000000000000" in said(capsys, "plan", "--cfg", "job", "--resolve", "-p", "data")
    assert "cluster/local" in said(capsys, "plan", "--info", "defaults")


def test_flags_and_overrides_stand_in_any_order(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "plan", "format=json", "-m", "model=7b,13b", "cluster=llama_paper")
    assert text.count('"non_embedding_parameters"') == 2


def test_a_folder_of_ones_own_is_searched_first(empty_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = empty_folder / "mine" / "cluster"
    own.mkdir(parents=True)
    (own / "cellar.yaml").write_text("nodes: 4\ngpus_per_node: 2\ngpu: rtx4090\n")
    text = said(capsys, "plan", "-cd", "mine", "cluster=cellar", "format=json")
    assert json.loads(text)["gpus"] == 8


def test_a_sweep_runs_every_member_and_a_failing_one_does_not_stop_the_others(
    empty_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["plan", "-m", "model.dim=4096,4100,8192", "format=json"]) == 2
    captured = capsys.readouterr()
    assert captured.out.count('"parameters"') == 2
    assert "dim=4100 is not divisible" in captured.err and "Traceback" not in captured.err
    assert list(empty_folder.iterdir()) == [], "Hydra leaves nothing behind"


def test_the_exit_code_of_a_sweep_is_the_worst_of_its_members(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(job: plan.PlanJob) -> None:
        if job.model.name == "7b":
            raise cli.Failure("broke")

    monkeypatch.setattr(plan, "run", run)
    assert cli.main(["plan", "-m", "model=13b,7b,33b"]) == 1


def test_an_interrupt_ends_the_whole_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def run(job: Any) -> None:
        seen.append(job)
        raise KeyboardInterrupt

    monkeypatch.setattr(plan, "run", run)
    assert cli.main(["plan", "-m", "model=13b,7b"]) == 130
    assert len(seen) == 1


def test_each_member_of_a_training_sweep_has_a_folder_named_by_its_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    from packtrain.jobs import train

    seen: list[tuple[str, str]] = []
    monkeypatch.setattr(train, "run", lambda job: seen.append((job.run_dir, job.callbacks["checkpointing"].run_dir)))

    def folders(*words: str) -> list[str]:
        seen.clear()
        assert cli.main(["train", "-m", *words]) == 0
        assert all(run_dir == str(checkpoints) for run_dir, checkpoints in seen), "callbacks work in the same folder"
        return [run_dir for run_dir, _ in seen]

    assert folders("model=1m,5m", "name=sizes") == ["runs/sizes/model=1m", "runs/sizes/model=5m"]
    assert folders("model=1m,5m", "name=x", "seed=3") == ["runs/x/model=1m", "runs/x/model=5m"]
    assert folders("model=1m", "name=x") == ["runs/x/model=1m"], "a sweep of one, which may grow"
    assert folders("name=a,b") == ["runs/a", "runs/b"]
    assert folders("seed=1,2", "optim=llama,wsd", "name=x")[:2] == [
        "runs/x/seed=1,optim=llama",
        "runs/x/seed=1,optim=wsd",
    ]


@pytest.mark.parametrize(
    ("overrides", "swept", "folder"),
    [
        (["model=1m", "name=x", "data=text"], {"model"}, "model=1m"),
        (["model=1m", "name=x"], set(), "model=1m"),
        (["name=x", "runs_dir=/d"], set(), ""),
        (["input='/a b/c'", "model=1m"], {"input"}, "input=--a-b-c-"),
        (["hydra.verbose=true", "model=1m"], set(), "model=1m"),
    ],
)
def test_the_folder_of_a_member(overrides: list[str], swept: set[str], folder: str) -> None:
    assert cli_run.member_folder(overrides, swept) == folder


@pytest.mark.parametrize(
    ("typed", "multirun", "read"),
    [
        ("checkpoint=runs/s/model=1m", False, "checkpoint='runs/s/model=1m'"),
        ("checkpoint=runs/s/model=1m,seed=2", False, "checkpoint='runs/s/model=1m,seed=2'"),
        ("checkpoint=runs/s/model=1m,runs/x", True, "checkpoint='runs/s/model=1m',runs/x"),
        ("compare=[a,s/model=1m]", False, "compare=[a,'s/model=1m']"),
        ("prompt=def main(", False, "prompt='def main('"),
        ("prompt='def main('", False, "prompt='def main('"),
        ("optim.betas=[0.9,0.95]", False, "optim.betas=[0.9,0.95]"),
        ("model=1m,5m", True, "model=1m,5m"),
        ("x=${name}", False, "x=${name}"),
        ("x=[1,2", False, "x=[1,2"),
    ],
)
def test_values_that_the_grammar_cannot_read_are_quoted_for_the_user(typed: str, multirun: bool, read: str) -> None:
    assert cli_compose.with_quotes(typed, multirun) == read


def suggestions(line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    monkeypatch.setenv("COMP_LINE", line)
    return said(capsys, "-sc", "query=bash").split()


def test_tab_completes_commands_groups_choices_and_keys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(suggestions("packtrain ", monkeypatch, capsys)) == {*cli_help.commands(), "completion"}
    assert suggestions("packtrain pla", monkeypatch, capsys) == ["plan"]
    assert {"model=7b", "model=65b"} <= set(suggestions("packtrain plan model=", monkeypatch, capsys))
    assert "cluster=" in suggestions("packtrain plan model=7b clu", monkeypatch, capsys)
    assert suggestions("packtrain plan data.sequ", monkeypatch, capsys) == ["data.sequence_length="]
    assert suggestions("packtrain nothing mod", monkeypatch, capsys) == []
    assert suggestions("packtrain plan model=8b data.", monkeypatch, capsys) == []


@pytest.mark.parametrize(("shell", "word"), [("bash", "complete"), ("zsh", "complete"), ("fish", "function")])
def test_completion_prints_a_script_for_the_shell(
    shell: str, word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest"])
    script = said(capsys, "completion", shell)
    assert word in script and "packtrain" in script
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0


def test_the_module_runs_as_a_program(empty_folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-m", "packtrain", "plan", "modle=7b"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1


@pytest.mark.parametrize("late", [False, True])
def test_a_sweep_that_is_asked_to_stop_begins_no_further_member_and_says_so_once(
    late: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """late: the signal came in a member's last step, and it had finished before anybody asked."""
    begun = []

    def perform(command: str, cfg: object) -> int:
        begun.append(command)
        stop.listen()
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            stop.restore()
        if not late:
            raise KeyboardInterrupt
        return 0

    monkeypatch.setattr(cli_run, "perform", perform)
    assert cli.main(["train", "-m", "seed=1,2,3"]) == 130
    assert begun == ["train"]
    assert capsys.readouterr().err.count("interrupted") == 1
    stop.listen()
    stop.restore()  # forgets it
