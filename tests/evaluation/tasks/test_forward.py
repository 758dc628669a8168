"""What a model in training writes by its plain forward is what the decoder with its cache writes."""

from __future__ import annotations

from pathlib import Path

import torch

from packtrain.evaluation.tasks.answerer import ModelAnswerer
from packtrain.evaluation.tasks.forward import ForwardAnswerer
from packtrain.evaluation.tasks.requests import Completions, Generate, Likelihood, Request, Scored
from packtrain.inference.decoder import Decoder
from packtrain.model.config import ModelConfig
from packtrain.model.llama import Llama
from packtrain.parallel.processes import World
from tests.export.making import lively
from tests.tiny_run import make_tokenizer


def test_texts_and_likelihoods_are_those_of_the_decoder(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(tmp_path / "tokenizer.model")
    config = ModelConfig(dim=32, n_layers=2, n_heads=4, vocab_size=tokenizer.vocab_size, max_sequence_length=64)
    model = lively(Llama(config)).eval()
    asked: list[Request] = [
        Generate(f"def f{i}(x):{' packs' * i}", stop, length)
        for i in (0, 3, 1, 9, 40)
        for stop, length in (((), 12), (("e", "\n"), 20), ((" ",), 1), ((), 0))
    ]
    asked.insert(3, Likelihood("def f", "7(x):"))
    expected = ModelAnswerer(Decoder.of(model, "fp32"), tokenizer, 48, 256).answer(asked, range(len(asked)))
    found = ForwardAnswerer(model, tokenizer, 48, 128, torch.device("cpu"), World()).answer(asked, range(len(asked)))
    texts = [one for one in found if isinstance(one, Completions)]
    assert texts == [one for one in expected if isinstance(one, Completions)]
    assert any(one.cut for one in texts) and len({one.texts for one in texts}) > 8
    assert isinstance(found[3], Scored) and isinstance(expected[3], Scored)
    assert abs(found[3].log_likelihood - expected[3].log_likelihood) < 1e-4
