"""fp8 products: near bf16's by what eight bits allow, in the right formats, and refused where they do not run"""

from __future__ import annotations

import pytest
import torch

from packtrain.cli import main
from packtrain.errors import UserError
from packtrain.model import fp8, pairs
from packtrain.model.config import ModelConfig
from packtrain.model.engine import Engine
from packtrain.model.initialisation import initialise
from packtrain.model.llama import Llama

torch.set_num_threads(1)


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.float() - expected.float()).norm() / expected.float().norm())


def test_the_pair_is_near_the_plain_one() -> None:
    generator = torch.Generator().manual_seed(1)
    x, dy = (torch.randn(48, n, generator=generator).to(torch.bfloat16) for n in (64, 96))
    w = torch.randn(96, 64, generator=generator)
    # e4m3 rounds to 1 / 16, e5m2 to 1 / 8 of a number at worst: over a sum of many about 3 % and 6 % remain
    assert 0.005 < relative(fp8.linear(x, w), pairs.linear(x, w)) < 0.05
    assert 0.01 < relative(fp8.linear_input_gradient(dy, w), pairs.linear_input_gradient(dy, w)) < 0.09
    onto = torch.ones(48, 64, dtype=torch.bfloat16)
    added = fp8.linear_input_gradient(dy, w, onto=onto.clone())
    assert torch.equal(added, onto + fp8.linear_input_gradient(dy, w))
    assert fp8.PAIR.weight_gradient is pairs.linear_weight_gradient


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_a_scale_carries_any_range(size: float) -> None:
    x = torch.tensor([[0.5, -1.0] * 16] * 16) * size
    y, scale = fp8.scaled(x, fp8.E4M3)
    assert torch.allclose(y.float() * scale, x, rtol=0.07) or size < 1e-12
    assert torch.isfinite(y.float()).all() and torch.isfinite(scale)
    assert (fp8.scaled(torch.zeros(16, 16), fp8.E5M2)[0].float() == 0).all()


def test_a_layer_in_fp8_learns_what_one_in_bf16_learns() -> None:
    """Losses of a small model over a few steps stay together; the gradients differ by a few per cent, and do differ."""
    config = ModelConfig(dim=64, n_layers=2, n_heads=4, vocab_size=96, max_sequence_length=32)
    tokens = torch.randint(0, 96, (4, 33), generator=torch.Generator().manual_seed(3))
    curves, gradients = [], []
    for eight_bits in (False, True):
        model = initialise(Llama(config, torch.bfloat16, Engine(fp8=eight_bits)), 0)
        optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
        losses = []
        for step in range(20):
            loss = model.loss(tokens[:, :-1], tokens[:, 1:])
            loss.backward()
            if step == 0:
                gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
            optimiser.step()
            optimiser.zero_grad()
            losses.append(float(loss.detach()))
        curves.append(losses)
    assert curves[0][-1] < 0.7 * curves[0][0]
    assert all(abs(a - b) < 0.01 * curves[0][0] for a, b in zip(*curves, strict=True)), curves
    assert curves[0] != curves[1]
    for name, expected in gradients[0].items():
        assert relative(gradients[1][name], expected) < 0.2, name


def test_fp8_is_refused_in_one_line_where_it_does_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="fp8=true needs a GPU with eight-bit tensor cores, and the device is cpu"):
        Engine(fp8=True).check(torch.device("cpu"))
    with pytest.raises(UserError, match="not of recompute=none: give recompute=manual"):
        Engine(fp8=True, recompute="none")
    assert main(["train", "fp8=true", "precision=bf16", "device=cpu", "data=packed", "data.path=nowhere"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "needs a GPU with eight-bit tensor cores" in error
