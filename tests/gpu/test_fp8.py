"""On a GPU with eight-bit tensor cores: fp8 keeps bf16's loss curve, eager and compiled"""

from __future__ import annotations

import pytest
import torch

from packtrain.model.config import ModelConfig
from packtrain.model.engine import Engine
from packtrain.model.fp8 import unavailable
from packtrain.model.initialisation import initialise
from packtrain.model.llama import Llama

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("compile", [False, True])
def test_fp8_keeps_the_loss_curve_of_bf16(compile: bool) -> None:
    device = torch.device("cuda")
    if (reason := unavailable(device)) is not None:
        pytest.skip(f"fp8 {reason}")
    config = ModelConfig(dim=512, n_layers=4, n_heads=8, vocab_size=4096, max_sequence_length=256)
    tokens = torch.randint(0, 4096, (64, 8, 257), generator=torch.Generator().manual_seed(3)) // 64 * 64
    curves = []
    for eight_bits in (False, True):
        model = initialise(Llama(config, torch.bfloat16, Engine(compile=compile, fp8=eight_bits)), 0).to(device)
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
        losses = []
        for step in range(200):
            batch = tokens[step % 64].to(device)
            loss = model.loss(batch[:, :-1], batch[:, 1:])
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            losses.append(loss.detach())
        curves.append(torch.stack(losses).cpu())
    smooth = [curve.unfold(0, 20, 20).mean(-1) for curve in curves]
    assert smooth[0][-1] < 0.9 * smooth[0][0]
    assert ((smooth[1] - smooth[0]).abs() < 0.02 * smooth[0]).all(), (smooth[0], smooth[1])
