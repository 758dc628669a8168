"""Decoding on CUDA: the step as a CUDA graph gives the eager step's logits.  pytest -m gpu tests/gpu"""

from __future__ import annotations

import pytest
import torch

from packtrain.inference.decoder import Decoder
from packtrain.inference.matrices import Precision
from tests.inference.test_decoder import compiled_steps_equal, lively

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8", "int4"])
def test_a_compiled_step_on_cuda_gives_the_eager_logits_while_rows_finish(precision: Precision) -> None:
    compiled_steps_equal(lively("grouped heads").to("cuda"), precision)


def test_steps_of_one_shape_are_captured_once() -> None:
    """A second text of the same length starts no compilation: neither the cache nor a count changes a shape."""
    from torch._dynamo.utils import counters

    decoder = Decoder.of(lively("full heads").to("cuda"), "bf16")
    decoder.compile_step()
    for length in (9, 30):
        decoder.reset(1, length)
        ids = torch.arange(3, 11, device="cuda")[None]
        tokens = decoder.prefill(ids, torch.tensor([8])).argmax(-1)
        for _ in range(length - 9):
            tokens = decoder.step(tokens).argmax(-1)
        if length == 9:
            decoder.step(tokens)
            counters.clear()
    assert counters["stats"]["unique_graphs"] == 0
