"""packtrain generate: a run folder in, text out; whatever does not belong together is refused"""

from __future__ import annotations

import dataclasses
import importlib.resources
import shutil
from pathlib import Path

import pytest
import sentencepiece
import torch
import yaml
from safetensors.torch import save_file

from packtrain.checkpoint.directory import checkpoint_path, commit
from packtrain.checkpoint.load import WEIGHTS
from packtrain.errors import UserError
from packtrain.jobs.generate import GenerateJob, run
from packtrain.model.config import ModelConfig
from packtrain.model.initialisation import initialise
from packtrain.model.llama import Llama
from packtrain.tokenizer.tokenizer import Tokenizer

TEXT = ["the pack train carries the tokens over the hills", "a llama packs light and walks far"]


def train_tokenizer(path: Path, text: list[str]) -> Path:
    sentencepiece.SentencePieceTrainer.train(  # pyright: ignore[reportAttributeAccessIssue]
        sentence_iterator=iter(text * 50),
        model_prefix=str(path.with_suffix("")),
        model_type="bpe",
        vocab_size=320,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    return path


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs") / "small"
    folder.mkdir()
    tokenizer = Tokenizer(train_tokenizer(folder / "tokenizer.model", TEXT))
    config = ModelConfig(dim=32, n_layers=1, n_heads=2, vocab_size=tokenizer.vocab_size, max_sequence_length=64)
    model = initialise(Llama(config), seed=0)
    meta = {
        "model": dataclasses.asdict(config),
        "tokenizer_fingerprint": tokenizer.fingerprint,
        "tokens": 0,
    }
    (folder / "config.yaml").write_text("data: {sequence_length: 16}\n")
    for step in (1, 2):
        commit(
            checkpoint_path(folder, step),
            lambda path: save_file(model.state_dict(), path / WEIGHTS),
            {**meta, "step": step},
        )
    return folder


def job(run_dir: Path, **changes: object) -> GenerateJob:
    settings = {"checkpoint": str(run_dir), "prompt": "the llama", "max_new_tokens": 12, "device": "cpu"}
    return GenerateJob(**{**settings, **changes})  # pyright: ignore[reportArgumentType]


def test_prompt_and_continuation_go_to_stdout_and_to_the_file(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new" / "sample.txt"
    run(job(run_dir, output=str(output)))
    said = capsys.readouterr()
    assert said.out.startswith("the llama") and len(said.out) > len("the llama\n")
    assert output.read_text(encoding="utf-8") == said.out
    assert said.err == ""


def test_a_seed_says_the_same_again_and_bf16_runs(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for changes in ({"seed": 1}, {"seed": 1}, {"seed": 2}, {"precision": "bf16"}):
        run(job(run_dir, **changes))
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]
    assert texts[3].startswith("the llama")


def test_one_checkpoint_is_as_good_as_the_run(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(job(run_dir))
    run(job(run_dir, checkpoint=str(checkpoint_path(run_dir, 1))))
    first, second = capsys.readouterr().out.split("the llama")[1:]
    assert first == second


def test_a_damaged_newest_checkpoint_falls_back_and_stdout_stays_text(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run_dir, copy)
    (checkpoint_path(copy, 2) / WEIGHTS).write_bytes(b"cut")
    run(job(copy))
    said = capsys.readouterr()
    assert said.out.startswith("the llama")
    assert "step-00000002" in said.err and said.err.count("\n") == 1


def test_a_tokenizer_that_is_not_the_models_is_refused(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = train_tokenizer(tmp_path / "other.model", ["another corpus altogether, with other words", "and more"])
    with pytest.raises(UserError, match="is not the one") as caught:
        run(job(run_dir, tokenizer=str(other)))
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""


def test_the_models_own_tokenizer_may_lie_elsewhere(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(run_dir / "tokenizer.model", tmp_path / "moved.model")
    run(job(run_dir, tokenizer=str(tmp_path / "moved.model")))
    assert capsys.readouterr().out.startswith("the llama")


def test_a_missing_tokenizer_is_named(run_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no tokenizer at"):
        run(job(run_dir, tokenizer=str(tmp_path / "nowhere.model")))


def test_a_file_that_is_there_is_kept_unless_told(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "sample.txt"
    output.write_text("precious")
    with pytest.raises(UserError, match="overwrite=true"):
        run(job(run_dir, output=str(output)))
    assert output.read_text() == "precious"
    run(job(run_dir, output=str(output), overwrite=True))
    assert output.read_text() == capsys.readouterr().out


def test_a_file_made_from_the_same_is_done_and_one_that_was_edited_is_kept(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "sample.txt"
    run(job(run_dir, output=str(output)))
    text, written = capsys.readouterr().out, output.stat().st_mtime_ns
    run(job(run_dir, output=str(output)))
    again = capsys.readouterr()
    assert again.out == text and "is done" in again.err
    assert output.stat().st_mtime_ns == written
    with pytest.raises(UserError, match="overwrite=true"):
        run(job(run_dir, output=str(output), seed=2))
    output.write_text("precious")
    with pytest.raises(UserError, match="overwrite=true"):
        run(job(run_dir, output=str(output)))
    assert output.read_text() == "precious"


def test_the_model_looks_back_on_what_it_was_trained_on(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(job(run_dir, prompt="漢字" * 6))
    assert "looks back on 16" in capsys.readouterr().err
    run(job(run_dir, prompt="the llama", context=64))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checkpoint": "runs/nowhere"}, "runs/nowhere does not exist"),
        ({"device": "gpu"}, "device=gpu: unknown; known: auto, cpu, cuda"),
        ({"device": "cuda:99"}, "give device=cpu"),
        ({"top_p": 1.5}, "top_p=1.5: expected more than 0 and at most 1"),
        ({"context": 65}, "max_sequence_length=64"),
    ],
)
def test_a_mistake_is_one_line_with_a_remedy(run_dir: Path, changes: dict, message: str) -> None:
    with pytest.raises(UserError) as caught:
        run(job(run_dir, **changes))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_the_configuration_has_the_keys_and_defaults_of_the_job() -> None:
    file = importlib.resources.files("packtrain.conf").joinpath("generate.yaml")
    values = yaml.safe_load(file.read_text(encoding="utf-8"))
    values.pop("defaults")
    assert {**values, "stop": tuple(values["stop"])} == dataclasses.asdict(GenerateJob(checkpoint="???"))
