"""A checkpoint is scored on its own held-out text; what does not belong together is refused; nothing is done twice."""

from __future__ import annotations

import json
import lzma
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from packtrain import cli
from packtrain.checkpoint.directory import checkpoint_path
from packtrain.checkpoint.load import load_model
from packtrain.data.manifest import load_manifest
from packtrain.errors import Failure, UserError
from packtrain.jobs.evaluate import EvaluateJob, run
from packtrain.tokenizer.tokenizer import Tokenizer
from tests.tiny_run import LENGTH, TEXTS, add_checkpoint, make_pack, make_run, make_tokenizer


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return make_run(tmp_path)


def evaluate(checkpoint: Path, **settings: Any) -> dict[str, Any]:
    run(EvaluateJob(checkpoint=str(checkpoint), device="cpu", **settings))
    return json.loads(Path(settings.get("output") or checkpoint / "evaluation.json").read_text())


def test_the_figures_equal_those_worked_out_by_hand(run_dir: Path) -> None:
    found = evaluate(run_dir)["domains"]["code"]
    model, _ = load_model(checkpoint_path(run_dir, 10))
    tokenizer = Tokenizer(run_dir / "tokenizer.model")
    stream = [token for text in TEXTS["code"] for token in (1, *tokenizer.encode(text), 2)]
    nats = 0.0
    for start in range(0, len(stream) - 1, LENGTH):
        piece = torch.tensor(stream[start : start + LENGTH + 1])
        with torch.no_grad():
            log_p = model(piece[None, :-1])[0].double().log_softmax(-1)
        nats -= float(log_p.gather(-1, piece[1:, None]).sum())
    n_bytes = sum(len(text.encode()) for text in TEXTS["code"])
    assert (found["tokens"], found["bytes"], found["documents"]) == (len(stream) - 1, n_bytes, 12)
    assert found["nats"] == pytest.approx(nats, rel=1e-5)
    assert found["bits_per_byte"] == pytest.approx(nats / math.log(2) / n_bytes, rel=1e-5)
    text = "\n".join(TEXTS["code"]).encode()
    assert found["xz_bits_per_byte"] == 8 * len(lzma.compress(text, preset=9)) / len(text)


def test_the_mean_takes_the_weights_of_the_run(run_dir: Path) -> None:
    found = evaluate(run_dir)
    domains = found["domains"]
    expected = 0.75 * domains["code"]["bits_per_byte"] + 0.25 * domains["prose"]["bits_per_byte"]
    assert found["weighted"]["bits_per_byte"] == pytest.approx(expected, rel=1e-12)


def test_a_run_stands_for_its_newest_checkpoint_and_a_checkpoint_for_itself(run_dir: Path, tmp_path: Path) -> None:
    manifest = load_manifest(tmp_path / "shards")
    newer = add_checkpoint(run_dir, 20, manifest.vocab_size, manifest)
    assert evaluate(run_dir)["step"] == 20
    output = str(tmp_path / "older.json")
    assert evaluate(checkpoint_path(run_dir, 10), output=output)["step"] == 10
    (newer / "model.safetensors").write_bytes(b"cut")
    assert evaluate(run_dir)["step"] == 10


def test_the_same_checkpoint_on_the_same_data_is_not_scored_twice(
    run_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = evaluate(run_dir)
    capsys.readouterr()
    monkeypatch.setattr("packtrain.jobs.evaluate.load_model", lambda *_: pytest.fail("scored again"))
    assert evaluate(run_dir) == first
    screen = capsys.readouterr().out
    assert "is done" in screen and "weighted mean" in screen


def test_overwrite_and_a_new_checkpoint_score_again_and_equally(run_dir: Path, tmp_path: Path) -> None:
    first = evaluate(run_dir)
    assert evaluate(run_dir, overwrite=True, batch_size=3)["weighted"]["loss"] == pytest.approx(
        first["weighted"]["loss"], rel=1e-6
    )
    manifest = load_manifest(tmp_path / "shards")
    add_checkpoint(run_dir, 20, manifest.vocab_size, manifest)
    assert evaluate(run_dir)["made_from"] != first["made_from"]


def test_shards_of_another_tokenizer_are_refused(run_dir: Path, tmp_path: Path) -> None:
    other = make_tokenizer(tmp_path / "other.model", extra="quite another text, quite another vocabulary")
    pack = make_pack(tmp_path / "other_shards", other)
    with pytest.raises(UserError, match="does not match the shards"):
        evaluate(run_dir, shards=str(pack))
    with pytest.raises(UserError, match="is not the one"):
        evaluate(run_dir, tokenizer=str(tmp_path / "other.model"))
    assert not (run_dir / "evaluation.json").exists()


def test_text_that_is_not_what_was_packed_is_a_failure(run_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "shards" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["domains"]["prose"]["held_out"]["bytes"] += 1
    path.write_text(json.dumps(manifest))
    with pytest.raises(Failure, match="'prose' decodes to"):
        evaluate(run_dir)
    assert not (run_dir / "evaluation.json").exists()


def test_a_truncated_shard_is_named(run_dir: Path, tmp_path: Path) -> None:
    shard = next((tmp_path / "shards" / "code" / "held_out").glob("*.bin"))
    shard.write_bytes(shard.read_bytes()[:-4])
    with pytest.raises(Failure, match=shard.name):
        evaluate(run_dir)


def test_a_file_that_is_no_evaluation_is_not_replaced(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.json").write_text("[1]")
    with pytest.raises(UserError, match=r"letter\.json exists"):
        evaluate(run_dir, output=str(tmp_path / "letter.json"))
    assert (tmp_path / "letter.json").read_text() == "[1]"


@pytest.mark.parametrize("checkpoint", ["runs/nowhere", "runs"])
def test_a_missing_checkpoint_is_one_line(run_dir: Path, tmp_path: Path, checkpoint: str) -> None:
    with pytest.raises(UserError) as error:
        evaluate(tmp_path / checkpoint)
    assert "\n" not in str(error.value)


def test_held_out_text_is_not_scored_in_a_precision_that_it_is_not_scored_in(run_dir: Path) -> None:
    with pytest.raises(UserError, match="precision=int8: held-out text is scored in fp32 or bf16"):
        run(EvaluateJob(str(run_dir), precision="int8", device="cpu"))


def test_shards_that_are_not_there_are_one_line(run_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="packtrain pack"):
        evaluate(run_dir, shards=str(tmp_path / "nowhere"))


def test_a_checkpoint_without_its_run_asks_for_the_data(run_dir: Path) -> None:
    (run_dir / "config.yaml").unlink()
    with pytest.raises(UserError, match="shards=DIR"):
        evaluate(run_dir)


def test_other_shards_are_named_on_the_command_line(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = yaml.safe_load((run_dir / "config.yaml").read_text())["data"]["path"]
    assert cli.main(["evaluate", f"checkpoint={run_dir}", f"shards={own}"]) == 0
    assert "bits/byte" in capsys.readouterr().out
    assert cli.main(["evaluate", f"checkpoint={run_dir}", f"shards={tmp_path / 'nowhere'}"]) == 2
    assert "nowhere: no packed shards here" in capsys.readouterr().err
