"""An export is the model: transformers loads it and agrees, and every round trip gives the same bits"""

from __future__ import annotations

import json
import platform
import warnings
from pathlib import Path

import pytest
import torch

from packtrain.checkpoint.load import load_model
from packtrain.checkpoint.weights import open_weights
from packtrain.cli import main
from packtrain.export.verify import compare
from packtrain.export.write import verify
from packtrain.model.config import ModelConfig
from packtrain.settings import build
from tests.export.making import SHAPES, make_run, tokenizer_of
from tests.tokenizer.test_tokenizer import NASTY

CHECKPOINT = "checkpoints/step-00000005"


def config_of(run: Path) -> ModelConfig:
    return build(ModelConfig, json.loads((run / CHECKPOINT / "checkpoint.json").read_text())["model"])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("exports"))


@pytest.fixture(scope="module")
def hf(run: Path) -> Path:
    output = run.parent.parent / "hf"
    assert main(["export", f"checkpoint={run}", f"output={output}", "licence=Apache-2.0"]) == 0
    return output


@pytest.mark.parametrize("shape", SHAPES)
def test_transformers_computes_the_same_logits(tmp_path: Path, shape: str) -> None:
    transformers = pytest.importorskip("transformers")
    run = make_run(tmp_path, shape)
    assert main(["export", f"checkpoint={run}", f"output={tmp_path / 'hf'}"]) == 0
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf", dtype=torch.float32).eval()
    ours, _ = load_model(run / CHECKPOINT)
    tokens = torch.randint(0, ours.config.vocabulary, (2, 100), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        expected = ours(tokens)
        assert expected.std() > 0.1, "a model at rest would agree with anything"
        assert (theirs(tokens).logits - expected).abs().max() <= 1e-4


def test_auto_tokenizer_gives_our_ids_on_nasty_strings(run: Path, hf: Path) -> None:
    transformers = pytest.importorskip("transformers")
    theirs, ours = transformers.AutoTokenizer.from_pretrained(hf), tokenizer_of(run)
    for text in NASTY:
        ids = theirs(text, add_special_tokens=False).input_ids
        assert ids == ours.encode(text), ascii(text)
        assert theirs.decode(ids) == text, ascii(text)
    assert theirs("a").input_ids == [ours.bos_id, *ours.encode("a")]


@pytest.mark.parametrize(
    ("format", "more"), [("hf", []), ("native", []), ("meta", []), ("meta", ["shards=2"]), ("meta", ["shards=4"])]
)
def test_a_round_trip_gives_the_same_bits(tmp_path: Path, run: Path, format: str, more: list[str]) -> None:
    output = tmp_path / "out"
    assert main(["export", f"checkpoint={run}", f"format={format}", f"output={output}", *more]) == 0
    if more:
        assert len(list(output.glob("consolidated.*.pth"))) == int(more[0][-1])
    assert main(["import", f"source={output}", "name=back", f"runs_dir={tmp_path}"]) == 0
    before, after = open_weights(run / CHECKPOINT), open_weights(tmp_path / "back/checkpoints/step-00000000")
    assert before.shapes == after.shapes
    assert all(torch.equal(before[name], after[name]) for name in before)
    kept = ("dim", "n_layers", "n_heads", "kv_heads", "hidden_dim", "vocab_size", "rope_theta", "norm_eps")
    imported = load_model(tmp_path / "back/checkpoints/step-00000000")[0].config
    assert [getattr(imported, key) for key in kept] == [getattr(config_of(run), key) for key in kept]
    assert (tmp_path / "back/tokenizer.model").read_bytes() == (run / "tokenizer.model").read_bytes()


def test_meta_shards_are_cut_as_metas_code_cuts_them(tmp_path: Path, run: Path) -> None:
    assert main(["export", f"checkpoint={run}", "format=meta", "shards=2", f"output={tmp_path / 'm'}"]) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shard = torch.load(tmp_path / "m/consolidated.01.pth", weights_only=True)
    whole = open_weights(run / CHECKPOINT)
    assert torch.equal(shard["layers.0.attention.wq.weight"], whole["layers.0.attention.wq.weight"][32:])
    assert torch.equal(shard["layers.0.attention.wo.weight"], whole["layers.0.attention.wo.weight"][:, 32:])
    assert torch.equal(shard["tok_embeddings.weight"], whole["tok_embeddings.weight"][:, 32:])
    assert torch.equal(shard["norm.weight"], whole["norm.weight"])


@pytest.mark.parametrize("precision", ["fp32", "fp16", "q8_0", "q4_0"])
def test_every_gguf_precision_stays_within_its_limit(
    tmp_path: Path, run: Path, precision: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", f"checkpoint={run}", "format=gguf", f"precision={precision}", f"output={tmp_path / 'g'}"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert ("largest difference of a logit" if precision == "fp32" else "KL divergence") in printed
    assert len(list((tmp_path / "g").glob("*.gguf"))) == 1


def test_the_check_sees_rows_that_were_not_moved(run: Path, hf: Path) -> None:
    """The control: the weights of the HF export read in the other convention are far off."""
    from packtrain.export.huggingface import hf_name
    from packtrain.export.read import open_hf

    tokens = torch.arange(3, 60)
    ours, config = open_weights(run / CHECKPOINT), config_of(run)
    assert compare(ours, open_hf(hf), config, tokens, "halves", hf_name).logits < 1e-4
    assert compare(ours, open_hf(hf), config, tokens, "neighbours", hf_name).logits > 1e-2


def test_a_damaged_export_is_refused_and_nothing_is_left(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from packtrain.export import huggingface

    monkeypatch.setattr(huggingface, "to_halves", lambda weight, head_dim: weight)
    assert main(["export", f"checkpoint={run}", f"output={tmp_path / 'bad'}"]) == 1
    assert "the export is not the model" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_bf16_and_shards_of_safetensors_load_in_transformers(tmp_path: Path, run: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from packtrain.export.write import write

    ours, config = open_weights(run / CHECKPOINT), config_of(run)
    (tmp_path / "hf").mkdir()
    write(tmp_path / "hf", ours, config, tokenizer_of(run), "hf", "bf16", shard_bytes=100_000)
    assert len(list((tmp_path / "hf").glob("model-*.safetensors"))) > 2
    assert verify(tmp_path / "hf", ours, config, "hf", torch.arange(3, 50)).kl < 1e-2
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf").eval()
    assert theirs.dtype == torch.bfloat16
    embedding = theirs.get_input_embeddings().weight
    assert torch.equal(embedding, ours["tok_embeddings.weight"].to(torch.bfloat16))


def test_the_model_card_says_what_the_run_knows(hf: Path) -> None:
    card = (hf / "README.md").read_text()
    for expected in (
        "license: apache-2.0",
        "| code | 75.0 % |",
        "as wanted",
        "| tokens | 640 |",
        "Not evaluated",
        f"| version of torch | {torch.__version__} |",
        f"| version of python | {platform.python_version()} |",
        "| made from | small, step-00000005 |",
    ):
        assert expected in card
    assert str(hf.parent) not in card, "no path of this machine"


def test_the_same_export_is_not_made_twice(run: Path, hf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {file: file.stat().st_mtime_ns for file in hf.iterdir()}
    assert main(["export", f"checkpoint={run}", f"output={hf}", "licence=Apache-2.0"]) == 0
    assert "already made" in capsys.readouterr().out
    assert {file: file.stat().st_mtime_ns for file in hf.iterdir()} == before
    assert main(["export", f"checkpoint={run}", f"output={hf}", "precision=bf16"]) == 2
    assert "was made with other settings" in capsys.readouterr().err
