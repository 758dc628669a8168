"""packtrain generate over files of prompts, interactively, quantised; packtrain quantise"""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from packtrain.cli import main
from tests.export.making import make_run

SHORT = ["max_new_tokens=6", "device=cpu"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("generate"))


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_file_of_prompts_becomes_json_lines_whatever_the_batch(run: Path, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("def f\n\nÜnïcödé packs\nx\n", encoding="utf-8")
    (tmp_path / "p.jsonl").write_text('{"prompt": "def f"}\n"Ünïcödé packs"\n{"prompt": "x", "id": 3}\n')
    for name, batch in (("p.txt", 1), ("p.txt", 8), ("p.jsonl", 2)):
        output = tmp_path / f"{name}-{batch}.out"
        command = ["generate", f"checkpoint={run}", f"prompts={tmp_path / name}", f"output={output}", *SHORT]
        assert main([*command, f"batch_size={batch}"]) == 0
    found = [lines(tmp_path / name) for name in ("p.txt-1.out", "p.txt-8.out", "p.jsonl-2.out")]
    assert found[0] == found[1] == found[2]
    assert [line["prompt"] for line in found[0]] == ["def f", "Ünïcödé packs", "x"]
    assert all(isinstance(line["completion"], str) for line in found[0])


def test_an_interrupted_file_is_continued_to_the_same_lines(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.txt").write_text("a\nb\nc\nd\n")
    command = ["generate", f"checkpoint={run}", f"prompts={tmp_path / 'p.txt'}", f"output={tmp_path / 'o'}", *SHORT]
    assert main([*command, "batch_size=1"]) == 0
    whole = (tmp_path / "o").read_bytes()
    (tmp_path / "o").write_bytes(whole[: len(whole) // 2])  # in the middle of a line
    assert main([*command, "batch_size=2"]) == 0
    assert (tmp_path / "o").read_bytes() == whole
    assert "going on" in capsys.readouterr().err
    assert main(command) == 0
    assert "is done: 4 prompts" in capsys.readouterr().err
    assert main([*command, "seed=2"]) == 2
    assert "give another output=" in capsys.readouterr().err


def test_only_a_newline_ends_a_prompt(run: Path, tmp_path: Path) -> None:
    prompts = ["a\u2028b", "c\x0cd\x85"]
    (tmp_path / "p.jsonl").write_text("\r\n".join(json.dumps({"prompt": p}, ensure_ascii=False) for p in prompts))
    (tmp_path / "p.txt").write_text("\n".join(prompts) + "\n", encoding="utf-8")
    for name in ("p.jsonl", "p.txt"):
        output = tmp_path / f"{name}.out"
        assert main(["generate", f"checkpoint={run}", f"prompts={tmp_path / name}", f"output={output}", *SHORT]) == 0
        found = [json.loads(line)["prompt"] for line in output.read_text(encoding="utf-8").split("\n")[:-1]]
        assert found == prompts


def test_prompts_that_are_cut_are_named(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.txt").write_text("a\n" + "b c d e f g h\n" * 2)
    command = ["generate", f"checkpoint={run}", f"prompts={tmp_path / 'p.txt'}", "context=6", *SHORT]
    assert main([*command, "batch_size=8"]) == 0
    assert capsys.readouterr().err.startswith("prompts 1, 2 have more than the 6 tokens")
    assert main([*command, "batch_size=1"]) == 0
    assert [line[:8] for line in capsys.readouterr().err.splitlines()] == ["prompt 1", "prompt 2"]


def test_a_refused_command_leaves_files_as_they_were(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.txt").write_text("a\n")
    (tmp_path / "o").write_text("mine")
    (tmp_path / "q.json").write_text('{"of": "another program"}')
    files = {path: path.read_bytes() for path in tmp_path.iterdir()}
    command = ["generate", f"checkpoint={run}", *SHORT]
    prompts = f"prompts={tmp_path / 'p.txt'}"
    for words, expected in (
        ([prompts, f"output={tmp_path / 'o'}", "overwrite=true", "context=9999"], "context=9999 is longer"),
        ([prompts, f"output={tmp_path / 'new'}", "context=9999"], "context=9999 is longer"),
        ([prompts, f"output={tmp_path / 'p.txt'}", "overwrite=true"], "is the file of prompts itself"),
        ([prompts, f"output={tmp_path / 'q'}"], "q.json exists"),
        (["prompt=x", f"output={tmp_path / 'q'}"], "q.json exists"),
        (["prompt=x", f"output={tmp_path}", "overwrite=true"], "is a folder"),
        (["prompt=x", "context=0"], "context=0: expected 1 or more"),
        (["prompt=x", "interactive=true"], "asks for its prompts"),
        ([f"output={tmp_path / 'new'}", "interactive=true"], "asks for its prompts"),
    ):
        assert main([*command, *words]) == 2
        error = capsys.readouterr().err
        assert expected in error and error.count("\n") == 1
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_interactive_answers_line_by_line(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("def f\nx\n"))
    assert main(["generate", f"checkpoint={run}", "interactive=true", *SHORT]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("def f") and "\nx" in printed


@pytest.mark.parametrize("precision", ["int8", "int4", "bf16"])
def test_a_quantised_model_says_its_price_and_generates_what_the_checkpoint_does_in_that_precision(
    run: Path, tmp_path: Path, precision: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "small"
    command = ["quantise", f"checkpoint={run}", f"precision={precision}", f"output={output}", "text_tokens=300"]
    assert main([*command, "device=cpu"]) == 0
    printed = capsys.readouterr().out
    assert "times smaller than fp32; perplexity on 300 tokens of text" in printed
    assert main([*command, "device=cpu"]) == 0
    assert "already made" in capsys.readouterr().out
    assert main(["generate", f"checkpoint={output}", "prompt=def", *SHORT]) == 0
    stored = capsys.readouterr().out
    assert main(["generate", f"checkpoint={run}", f"precision={precision}", "prompt=def", "context=64", *SHORT]) == 0
    assert capsys.readouterr().out == stored
    assert main(["generate", f"checkpoint={output}", "precision=fp32", *SHORT]) == 2
    assert f"is quantised to {precision}" in capsys.readouterr().err
    for words in (["export"], ["quantise"], ["evaluate"]):
        assert main([*words, f"checkpoint={output}"]) == 2
        assert "is a quantised model; give the run or the checkpoint that it was made from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["prompts=no.txt"], "prompts=no.txt"),
        (["prompts=empty.txt"], "holds no prompt"),
        (["prompts=bad.jsonl"], "line 2: is no JSON"),
        (["prompts=other.jsonl"], 'line 1: expected {"prompt"'),
        (["prompts=empty.txt", "prompt=x"], "goes with neither"),
        (["batch_size=0", "prompt=x"], "batch_size=0"),
        (["repetition_penalty=0", "prompt=x"], "repetition_penalty=0"),
        (["precision=int3", "prompt=x"], "int3"),
        (["stop=['']", "prompt=x"], "stop holds an empty text"),
    ],
)
def test_mistakes_are_one_line(
    run: Path, tmp_path: Path, words: list[str], expected: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "bad.jsonl").write_text('"a"\n{\n')
    (tmp_path / "other.jsonl").write_text('{"text": "a"}\n')
    assert main(["generate", f"checkpoint={run}", *words]) == 2
    error = capsys.readouterr().err
    assert expected in error and error.count("\n") == 1
    assert main(["quantise", f"checkpoint={run}", "text=empty.txt", "output=q"]) == 2
    assert "text=empty.txt: is empty" in capsys.readouterr().err and not Path("q").exists()
    assert main(["quantise", f"checkpoint={run}", "precision=fp32"]) == 2
    assert "precision=fp32 is what a checkpoint holds" in capsys.readouterr().err
