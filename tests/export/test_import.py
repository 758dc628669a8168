"""What transformers saves is imported: shapes of LLaMA 1, 2 and 3, any precision, one file or many"""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import torch

from packtrain.checkpoint.load import load_model
from packtrain.cli import main
from tests.export.making import make_run
from tests.tiny_run import make_tokenizer

SHAPES = {
    "LLaMA 1": {"num_attention_heads": 4, "num_key_value_heads": 4, "rms_norm_eps": 1e-6},
    "Llama 2, grouped heads": {"num_attention_heads": 8, "num_key_value_heads": 2, "rms_norm_eps": 1e-5},
    "Llama 3": {"num_attention_heads": 8, "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "theta": 500000.0},
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_imported_model_computes_what_transformers_computes(tmp_path: Path, shape: str, dtype: torch.dtype) -> None:
    transformers = pytest.importorskip("transformers")
    values = dict(SHAPES[shape])
    rope = {"rope_type": "default", "rope_theta": values.pop("theta", 10000.0)}
    config = transformers.LlamaConfig(
        vocab_size=330, hidden_size=64, intermediate_size=176, num_hidden_layers=2, max_position_embeddings=128,
        rope_parameters=rope, tie_word_embeddings=False, **values,
    )  # fmt: skip
    torch.manual_seed(4)
    theirs = transformers.LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.mul_(4.0 if parameter.ndim == 2 else 1.0)
    theirs = theirs.to(dtype)
    theirs.save_pretrained(tmp_path / "hf", max_shard_size="100KB")
    make_tokenizer(tmp_path / "hf/tokenizer.model")
    assert main(["import", f"source={tmp_path / 'hf'}", "name=x", f"runs_dir={tmp_path}"]) == 0
    ours, meta = load_model(tmp_path / "x/checkpoints/step-00000000")
    assert meta["tokenizer_fingerprint"]
    tokens = torch.randint(0, 330, (2, 90), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf", dtype=torch.float32)
        expected = loaded.eval()(tokens).logits
        assert expected.std() > 0.1
        assert (ours(tokens) - expected).abs().max() <= 1e-4


def test_a_model_without_a_sentencepiece_tokenizer_is_imported_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=330, hidden_size=64, intermediate_size=176, num_hidden_layers=1, num_attention_heads=4
    )
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / "hf")
    assert main(["import", f"source={tmp_path / 'hf'}", "name=x", f"runs_dir={tmp_path}"]) == 0
    assert "has no SentencePiece tokenizer.model: the weights alone" in capsys.readouterr().out
    assert main(["generate", f"checkpoint={tmp_path / 'x'}", "max_new_tokens=1"]) == 2
    assert "give tokenizer=FILE" in capsys.readouterr().err


def test_llama_3_in_metas_format_is_imported_without_its_tokenizer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path, "grouped heads")
    assert main(["export", f"checkpoint={run}", "format=meta", "shards=2", f"output={tmp_path / 'meta'}"]) == 0
    ranks = b"".join(b"%s %d\n" % (base64.b64encode(bytes([i])), i) for i in range(256))
    (tmp_path / "meta" / "tokenizer.model").write_bytes(ranks)
    command = ["import", f"source={tmp_path / 'meta'}", f"runs_dir={tmp_path}"]
    assert main([*command, "name=x"]) == 0
    assert "has no SentencePiece tokenizer.model: the weights alone" in capsys.readouterr().out
    (tmp_path / "meta" / "tokenizer.model").write_bytes((run / "tokenizer.model").read_bytes()[:50])
    assert main([*command, "name=y"]) == 2
    assert "not a SentencePiece model" in capsys.readouterr().err
