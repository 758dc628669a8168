"""Every backend that runs on CUDA against the reference; the step that never waits.  pytest -m gpu tests/gpu"""

from __future__ import annotations

import pytest
import torch

from packtrain.model.attention_backends import choose as chooser
from packtrain.model.attention_backends import reference
from packtrain.model.config import ModelConfig
from packtrain.model.engine import Engine
from packtrain.model.initialisation import initialise
from packtrain.model.layout import CAUSAL, Layout
from packtrain.model.llama import Llama
from packtrain.training.optimiser import build_optimiser, clip_gradients
from packtrain.training.schedule import OptimConfig

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
DOCUMENTS = ((5, 1, 58, 64), (128,), (1, 126, 1))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=["bf16", "fp32"])
@pytest.mark.parametrize("documents", [None, DOCUMENTS], ids=["causal", "documents"])
@pytest.mark.parametrize("kv_heads", [4, 2])
@pytest.mark.parametrize("name", ["xformers", "sdpa", "varlen"])
def test_a_backend_on_cuda_equals_the_reference(name: str, kv_heads: int, documents, dtype: torch.dtype) -> None:
    backend = chooser.BACKENDS[name]
    if (reason := backend.unavailable(torch.device("cuda"))) is not None:
        pytest.skip(f"{name} {reason}")
    if name == "varlen" and dtype == torch.float32:
        pytest.skip("varlen computes in half precision only")
    generator = torch.Generator().manual_seed(0)
    sizes = [(3, 128, heads, 64) for heads in (4, kv_heads, kv_heads, 4)]
    q, k, v, dout = (torch.randn(size, generator=generator).to("cuda", dtype) for size in sizes)
    layout = Layout(documents)
    out, lse = backend.forward(q, k, v, layout)
    found = [out, *backend.backward(dout, q, k, v, out, lse, layout)]
    wide = [x.double() for x in (q, k, v, dout)]
    exact_out, exact_lse = reference.forward(*wide[:3], layout)
    exact = [exact_out, *reference.backward(wide[3], *wide[:3], exact_out, exact_lse, layout)]
    for what, ours, theirs in zip(("out", "dq", "dk", "dv"), found, exact, strict=True):
        assert ours.shape == theirs.shape and ours.dtype == dtype, what
        error = (ours.double() - theirs).norm() / theirs.norm()
        assert error < (1e-2 if dtype == torch.bfloat16 else 2e-3), f"{what}: {error:.1e}"  # fp32: TF32 products


@pytest.mark.parametrize("documents", [None, DOCUMENTS], ids=["causal", "documents"])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_a_training_step_never_waits_for_the_gpu(compiled: bool, documents) -> None:
    config = ModelConfig(dim=256, n_layers=2, n_heads=4, vocab_size=512)
    with torch.device("cuda"):
        model = Llama(config, torch.bfloat16, Engine(compile=compiled))
    initialise(model, 0)
    optim = OptimConfig(learning_rate=1e-3, warmup_steps=0)
    optimiser = build_optimiser(model, optim)
    tokens = torch.randint(0, 512, (3, 129), device="cuda")

    def step() -> None:
        layout = CAUSAL if documents is None else Layout(documents)
        model.loss(tokens[:, :-1], tokens[:, 1:], layout).backward()
        clip_gradients(model, optim)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    for _ in range(3):
        step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(2):
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
