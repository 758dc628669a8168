"""The decoder with its cache computes what the model computes, in every precision, saved and read back"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from packtrain.errors import Failure, UserError
from packtrain.inference.batch import generate_ids
from packtrain.inference.decoder import Decoder
from packtrain.inference.matrices import GROUP, ONEDNN, Int4, Int8, Plain, Precision, matrix
from packtrain.inference.quality import perplexity
from packtrain.inference.settings import GenerationConfig
from packtrain.inference.store import load_decoder, save_decoder
from packtrain.model.config import ModelConfig
from packtrain.model.engine import compile_unavailable
from packtrain.model.initialisation import initialise
from packtrain.model.llama import Llama

SHAPES = {
    "full heads": {"dim": 64, "n_layers": 2, "n_heads": 4},
    "grouped heads": {"dim": 64, "n_layers": 3, "n_heads": 8, "n_kv_heads": 2, "rope_theta": 500000.0},
}
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "int8", "int4")


def lively(shape: str) -> Llama:
    torch.set_num_threads(1)
    model = initialise(Llama(ModelConfig(**SHAPES[shape], vocab_size=320, max_sequence_length=64)), 1).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0 if parameter.ndim == 2 else 1.0)
    return model


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("precision", "bound"), [("fp32", 1e-5), ("bf16", 0.06), ("int8", 0.12), ("int4", 1.2)])
def test_prefill_and_steps_give_the_models_logits(shape: str, precision: Precision, bound: float) -> None:
    model = lively(shape)
    tokens = torch.randint(0, 320, (3, 40), generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([5, 17, 30])
    decoder = Decoder.of(model, precision)
    decoder.reset(3, 48)
    found = [decoder.prefill(tokens[:, :30], lengths)]
    found += [decoder.step(tokens[torch.arange(3), lengths + s]) for s in range(6)]
    with torch.inference_mode():
        for s, logits in enumerate(found):
            for row in range(3):
                expected = model(tokens[row : row + 1, : lengths[row] + s])[0, -1]
                assert (logits[row] - expected).abs().max() < bound
                assert expected.std() > 0.3


@pytest.mark.parametrize("shape", SHAPES)
def test_greedy_output_equals_transformers_token_by_token(tmp_path: Path, shape: str) -> None:
    transformers = pytest.importorskip("transformers")
    from packtrain.export.huggingface import AsHF

    model = lively(shape)
    c = model.config
    theirs = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=320, hidden_size=c.dim, intermediate_size=c.hidden_dim, num_hidden_layers=c.n_layers,
            num_attention_heads=c.n_heads, num_key_value_heads=c.kv_heads, max_position_embeddings=64,
            rope_parameters={"rope_type": "default", "rope_theta": c.rope_theta}, rms_norm_eps=c.norm_eps,
            tie_word_embeddings=False, bos_token_id=1, eos_token_id=None, pad_token_id=None,
        )
    ).eval()  # fmt: skip
    theirs.load_state_dict(dict(AsHF(dict(model.state_dict()), c)))
    config = GenerationConfig(max_new_tokens=40, temperature=0.0)
    for seed in range(5):
        prompt = torch.randint(3, 320, (1, 4 + 3 * seed), generator=torch.Generator().manual_seed(seed))
        expected = theirs.generate(prompt, max_new_tokens=40, do_sample=False)[0, prompt.shape[1] :].tolist()
        decoder = Decoder.of(model, "fp32")
        assert [token for _, token in generate_ids(decoder, [prompt[0].tolist()], config, 64, eos_id=-1)] == expected


@pytest.mark.parametrize("precision", ["int8", "int4"])
@pytest.mark.parametrize("shape", [(96, 64), (64, 256), (48, 32)])
def test_atens_private_kernels_compute_the_dequantised_product(precision: Precision, shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(shape, generator=generator)
    quantised = matrix(weight, precision)
    assert isinstance(quantised, Int8 | Int4)
    x = torch.randn(3, 5, shape[1], generator=generator).to(torch.bfloat16)
    expected = x.float() @ quantised.dequantised().T
    assert quantised(x).dtype == torch.bfloat16
    assert (quantised(x).float() - expected).abs().max() < 0.02 * expected.abs().max()
    step = weight.abs().amax(1, keepdim=True) / 127 if precision == "int8" else weight.abs().max() * 2 / 15
    assert ((quantised.dequantised() - weight).abs() <= 0.6 * step + 0.02 * weight.abs().max()).all()


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_onednns_fp32_product_is_the_plain_product(rows: int) -> None:
    generator = torch.Generator().manual_seed(3)
    weight, x = torch.randn(96, 160, generator=generator), torch.randn(2, rows, 160, generator=generator)
    plain = matrix(weight, "fp32")
    assert ONEDNN and isinstance(plain, Plain)
    expected = x.double() @ weight.double().T
    assert (plain(x).double() - expected).abs().max() < 1e-5 * expected.abs().max()
    assert plain(x).shape == expected.shape


def test_rows_that_cannot_be_grouped_fall_back_to_int8_and_odd_ones_are_dequantised() -> None:
    assert isinstance(matrix(torch.randn(8, GROUP + 8), "int4"), Int8)
    odd = matrix(torch.randn(7, GROUP), "int4")
    x = torch.randn(2, GROUP).to(torch.bfloat16)
    assert isinstance(odd, Int4)
    assert torch.allclose(odd(x).float(), x.float() @ odd.dequantised().T, atol=0.15)
    assert isinstance(matrix(torch.randn(8, 8), "bf16"), Plain)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_decoder_is_saved_and_read_back_to_the_bit(tmp_path: Path, precision: Precision) -> None:
    decoder = Decoder.of(lively("grouped heads"), precision)
    save_decoder(decoder, tmp_path, {"made_from": "here"})
    again, about = load_decoder(tmp_path)
    assert about["made_from"] == "here" and again.precision == precision
    tokens = torch.arange(3, 43)[None]
    assert torch.equal(again.logits(tokens), decoder.logits(tokens))


def test_quantised_files_are_smaller(tmp_path: Path) -> None:
    model = lively("full heads")
    sizes = {}
    for precision in PRECISIONS:
        (tmp_path / precision).mkdir()
        save_decoder(Decoder.of(model, precision), tmp_path / precision, {})
        sizes[precision] = (tmp_path / precision / "decoder.safetensors").stat().st_size
    assert sizes["fp32"] > 1.9 * sizes["bf16"] and sizes["bf16"] > 1.3 * sizes["int8"] > 1.3 * sizes["int4"]


def test_a_damaged_or_foreign_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    save_decoder(Decoder.of(lively("full heads"), "int8"), tmp_path, {})
    weights = (tmp_path / "decoder.safetensors").read_bytes()
    (tmp_path / "decoder.safetensors").write_bytes(weights[:-100])
    with pytest.raises(Failure, match=f"damaged or incomplete .{len(weights) - 100} bytes instead of {len(weights)}"):
        load_decoder(tmp_path)
    (tmp_path / "decoder.safetensors").write_bytes(weights[:-100] + bytes([weights[-100] ^ 1]) + weights[-99:])
    with pytest.raises(Failure, match=r"damaged or incomplete .another checksum than when it was written"):
        load_decoder(tmp_path)
    (tmp_path / "decoder.safetensors").unlink()
    with pytest.raises(Failure, match=r"damaged or incomplete .*No such file"):
        load_decoder(tmp_path)
    (tmp_path / "decoder.json").write_text("{")
    with pytest.raises(UserError, match="quantise"):
        load_decoder(tmp_path)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("change", [{"n_layers": 1}, {"dim": 96}, {"n_kv_heads": 2}, {"vocab_size": 352}])
def test_a_folder_of_two_models_is_refused(tmp_path: Path, precision: Precision, change: dict[str, int]) -> None:
    save_decoder(Decoder.of(lively("full heads"), precision), tmp_path, {})
    about = json.loads((tmp_path / "decoder.json").read_text())
    (tmp_path / "decoder.json").write_text(json.dumps({**about, "model": {**about["model"], **change}}))
    with pytest.raises(UserError, match="the two files are of different models"):
        load_decoder(tmp_path)


def test_perplexity_is_the_models_loss() -> None:
    model = lively("full heads")
    tokens = torch.randint(0, 320, (50,), generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        expected = [model.loss(part[None, :-1], part[None, 1:]) * (len(part) - 1) for part in tokens.split(20)]
    loss = float(sum(expected) / (50 - 3))
    assert perplexity(Decoder.of(model, "fp32"), tokens, 20) == pytest.approx(torch.tensor(loss).exp().item(), rel=1e-5)


def compiled_steps_equal(model: Llama, precision: Precision) -> None:
    """Three rows of different lengths; the second leaves, then the first: the compiled step follows the eager one."""
    eager, compiled = Decoder.of(model, precision), Decoder.of(model, precision)
    compiled.compile_step()
    tokens = torch.randint(0, 320, (3, 40), generator=torch.Generator().manual_seed(1)).to(eager.device)
    lengths, rows = torch.tensor([5, 17, 30]), torch.arange(3)
    for again in range(2):  # the second text meets the first one's cache
        for decoder in (eager, compiled):
            decoder.reset(3, 48)
            decoder.prefill(tokens[:, :30] + again, lengths)
        rows = torch.arange(3)
        for step in range(6):
            for number, staying in ((2, [0, 2]), (4, [1])):
                if step == number:
                    rows = rows[staying]
                    eager.keep(torch.tensor(staying, device=eager.device))
                    compiled.keep(torch.tensor(staying, device=eager.device))
            given = tokens[rows, lengths[rows] + step]
            expected, found = eager.step(given), compiled.step(given)
            assert found.shape == expected.shape == (len(rows), 320)
            assert (found - expected).abs().max() < {"fp32": 1e-4, "bf16": 0.12, "int8": 0.12, "int4": 0.12}[precision]


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_compiled_step_gives_the_eager_logits_while_rows_finish(precision: Precision) -> None:
    if (reason := compile_unavailable(torch.device("cpu"))) is not None:
        pytest.skip(reason)
    compiled_steps_equal(lively("grouped heads"), precision)
