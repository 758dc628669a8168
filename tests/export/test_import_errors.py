"""What cannot be exported or imported is refused in one line, and nothing half-written is left"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from packtrain.cli import main
from tests.export.making import make_run

CHECKPOINT = "checkpoints/step-00000005"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("errors"))


@pytest.fixture
def hf(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["export", f"checkpoint={run}", f"output={tmp_path / 'hf'}"]) == 0
    capsys.readouterr()
    return tmp_path / "hf"


def refused(capsys: pytest.CaptureFixture[str], command: list[str], *expected: str, code: int = 2) -> None:
    assert main(command) == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "Traceback" not in error
    for part in expected:
        assert part in error, error


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"model_type": "mistral"}, "model_type 'mistral' is not LLaMA's"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}, "rope_parameters": None}, "rope scaling 'llama3'"),
        ({"attention_bias": True}, "attention_bias is true"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantization_config is set: a quantised checkpoint"),
        ({"head_dim": 32}, "head_dim 32"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ({"hidden_size": 128, "head_dim": None}, "has shape"),
        ({"num_hidden_layers": 4}, "is missing"),
        ({"num_attention_heads": "four"}, "holds no number where one belongs"),
        ({"rms_norm_eps": None}, "holds no number where one belongs"),
        ({"rope_scaling": ["llama3"]}, "rope_scaling is ['llama3'], expected an object or null"),
        ({"num_hidden_layers": 2}, "which a LLaMA of this configuration does not have"),
    ],
)
def test_another_architecture_is_refused(
    hf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object], expected: str
) -> None:
    config = json.loads((hf / "config.json").read_text())
    (hf / "config.json").write_text(json.dumps({**config, **change}))
    refused(capsys, ["import", f"source={hf}", "name=x", f"runs_dir={tmp_path / 'r'}"], expected)
    assert not (tmp_path / "r").exists()


def test_tied_embeddings_are_copied_and_said(hf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(hf / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, hf / "model.safetensors")
    config = json.loads((hf / "config.json").read_text())
    (hf / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
    assert main(["import", f"source={hf}", "name=x", f"runs_dir={tmp_path}"]) == 0
    assert "tied" in capsys.readouterr().out
    back = load_file(tmp_path / "x/checkpoints/step-00000000/model.safetensors")
    assert torch.equal(back["output.weight"], weights["model.embed_tokens.weight"])


def test_a_bin_checkpoint_is_read_as_weights_alone(
    hf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = load_file(hf / "model.safetensors")
    (hf / "model.safetensors").unlink()
    torch.save({**weights, "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}, hf / "pytorch_model.bin")
    assert main(["import", f"source={hf}", "name=x", f"runs_dir={tmp_path}"]) == 0
    capsys.readouterr()
    torch.save({"os": os.system}, hf / "pytorch_model.bin")
    refused(capsys, ["import", f"source={hf}", "name=y", f"runs_dir={tmp_path}"], "cannot be read as weights alone")


def test_a_missing_shard_is_named(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "m"
    assert main(["export", f"checkpoint={run}", "format=meta", "shards=4", f"output={out}"]) == 0
    capsys.readouterr()
    (out / "consolidated.02.pth").unlink()
    refused(capsys, ["import", f"source={out}", "name=x", f"runs_dir={tmp_path}"], "consolidated.02.pth is missing")
    (out / "consolidated.03.pth").unlink()
    refused(capsys, ["import", f"source={out}", "name=x", f"runs_dir={tmp_path}"], "a shard is missing")


def test_a_truncated_shard_is_named(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "m"
    assert main(["export", f"checkpoint={run}", "format=meta", f"output={out}"]) == 0
    capsys.readouterr()
    whole = (out / "consolidated.00.pth").read_bytes()
    (out / "consolidated.00.pth").write_bytes(whole[: len(whole) // 2])
    refused(
        capsys, ["import", f"source={out}", "name=x", f"runs_dir={tmp_path}"], "consolidated.00.pth: cannot be read"
    )


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda found: [1, 2], "holds no mapping of names to tensors"),
        (lambda found: {**found, "norm.weight": 3}, "holds no mapping of names to tensors"),
        (
            lambda found: {**found, "norm.weight": torch.ones(64, dtype=torch.int8)},
            "norm.weight holds int8: a quantised checkpoint cannot be read; take the original one",
        ),
    ],
    ids=["a list", "a number", "whole numbers"],
)
def test_a_shard_that_holds_other_things_than_weights_is_refused(
    run: Path, tmp_path: Path, made: Callable[[dict[str, Any]], Any], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", f"checkpoint={run}", "format=meta", "shards=2", f"output={tmp_path / 'meta'}"]) == 0
    capsys.readouterr()
    shard = tmp_path / "meta" / "consolidated.01.pth"
    torch.save(made(dict(torch.load(shard))), shard)
    refused(capsys, ["import", f"source={tmp_path / 'meta'}", "name=x", f"runs_dir={tmp_path / 'runs'}"], expected)
    assert not (tmp_path / "runs").exists()


def test_whole_numbers_in_safetensors_are_refused(hf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = load_file(hf / "model.safetensors")
    save_file({**found, "model.norm.weight": found["model.norm.weight"].to(torch.int8)}, hf / "model.safetensors")
    expected = "model.norm.weight holds int8: a quantised checkpoint cannot be read"
    refused(capsys, ["import", f"source={hf}", "name=x", f"runs_dir={tmp_path / 'runs'}"], expected)
    assert not list((tmp_path / "runs").iterdir())


def test_a_missing_safetensors_shard_of_an_index_is_named(
    hf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = {"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}}
    (hf / "model.safetensors").unlink()
    (hf / "model.safetensors.index.json").write_text(json.dumps(index))
    command = ["import", f"source={hf}", "name=x", f"runs_dir={tmp_path}"]
    refused(capsys, command, "the shard model-00001-of-00002.safetensors is missing")
    (hf / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../../etc/passwd"}}))
    refused(capsys, command, "outside of the folder")


def test_bad_words_are_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, ["export", f"checkpoint={run}", "format=gguf", "precision=bf16"], "format=gguf takes fp32, fp16")
    refused(capsys, ["export", f"checkpoint={run}", "format=onnx"], "onnx")
    refused(capsys, ["export", f"checkpoint={run}", "shards=2"], "only format=meta")
    refused(capsys, ["export", f"checkpoint={run}", "format=meta", "shards=3"], "possible: 1, 2, 4")
    refused(capsys, ["export", f"checkpoint={run}", "format=meta", "shards=9"], "expected 1 to 8")
    refused(capsys, ["export", f"checkpoint={tmp_path / 'no'}"], "does not exist")
    refused(capsys, ["export", f"checkpoint={run}", "text=no.txt"], "text=no.txt")
    refused(capsys, ["import", f"source={tmp_path / 'no'}"], "no such folder")
    refused(capsys, ["import", f"source={tmp_path}", "name=x"], "neither config.json")
    refused(
        capsys, ["import", f"source={run}", f"runs_dir={run.parent}", "name=small"], "exists and is more than an import"
    )
    refused(capsys, ["import", f"source={run}", "name=../x"], "expected a name, not a path")


@pytest.mark.parametrize("command", ["generate", "export", "quantise", "evaluate"])
def test_an_export_is_to_be_imported_before_it_is_used(
    hf: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = f"is a model in another format: packtrain import source={hf} name=NAME makes a run of it"
    refused(capsys, [command, f"checkpoint={hf}"], expected)


def test_an_import_replaces_an_import_and_nothing_else(
    hf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["import", f"source={hf}", f"runs_dir={tmp_path}", "overwrite=true"]
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years")
    run = make_run(tmp_path / "trained")
    refused(capsys, [*command, "name=thesis"], "more than an import")
    refused(capsys, [*command, f"runs_dir={run.parent}", "name=small"], "more than an import")
    assert (tmp_path / "thesis" / "chapter.txt").is_file() and (run / CHECKPOINT).is_dir()
    assert main([*command, "name=x"]) == main([*command, "name=x"]) == 0
    capsys.readouterr()
    (hf / "config.json").write_text("[1]")
    refused(capsys, [*command, "name=x"], "is no JSON object")


def test_an_unfinished_checkpoint_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path)
    (run / CHECKPOINT / "checkpoint.json").unlink()
    refused(capsys, ["export", f"checkpoint={run / CHECKPOINT}"], "no readable checkpoint.json", code=1)


def test_another_tokenizer_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.tiny_run import make_tokenizer

    other = make_tokenizer(tmp_path / "other.model", extra="quite other words here")
    refused(capsys, ["export", f"checkpoint={run}", f"tokenizer={other.path}"], "is not the one that")


@pytest.mark.parametrize("format", ["hf", "meta", "gguf"])
def test_a_full_disk_leaves_nothing_half_written(
    run: Path, tmp_path: Path, format: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from packtrain.jobs import export

    taken = 0

    def failing(self: export.Watched, name: str) -> torch.Tensor:
        nonlocal taken
        taken += 1
        if taken > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.tensors[name]

    monkeypatch.setattr(export.Watched, "__getitem__", failing)
    command = ["export", f"checkpoint={run}", f"format={format}", f"output={tmp_path / 'full'}"]
    refused(capsys, command, "No space left", "free some space", code=1)
    assert list(tmp_path.iterdir()) == []


def test_fp16_refuses_numbers_that_it_cannot_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from packtrain.export.write import Bounded

    with pytest.raises(Exception, match="beyond fp16's largest"):
        Bounded({"w": torch.tensor([1e5])})["w"]
