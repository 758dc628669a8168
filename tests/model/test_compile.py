"""compile=true: the same numbers as eager, compiled once; refused in one line where it cannot be"""

from __future__ import annotations

import shutil
import sys
from typing import Any

import pytest
import torch
import torch._dynamo
from torch import Tensor
from torch._dynamo.utils import counters

from packtrain.errors import UserError
from packtrain.model import engine as engines
from packtrain.model.config import ModelConfig
from packtrain.model.engine import Engine
from packtrain.model.initialisation import initialise
from packtrain.model.layout import CAUSAL, Layout
from packtrain.model.llama import Llama

CONFIG = ModelConfig(dim=32, n_layers=10, n_heads=4, n_kv_heads=2, vocab_size=40, ffn_multiple_of=16)
TOKENS = torch.randint(0, 40, (2, 17), generator=torch.Generator().manual_seed(0))
LAYOUTS = {"causal": CAUSAL, "documents": Layout(((5, 11), (16,)))}


@pytest.fixture(autouse=True)
def clean() -> None:
    torch._dynamo.reset()
    counters.clear()


def gradients(engine: Engine, layout: Layout, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    model = initialise(Llama(CONFIG, dtype, engine), 0)
    loss = model.loss(TOKENS[:, :-1], TOKENS[:, 1:], layout)
    loss.backward()
    found: Any = {name: parameter.grad for name, parameter in model.named_parameters()}
    return {"loss": loss.detach(), **found}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("recompute", ["manual", "none", "full"])
def test_compiled_equals_eager(recompute: Any, layout: str) -> None:
    expected = gradients(Engine(recompute=recompute), LAYOUTS[layout])
    found = gradients(Engine(recompute=recompute, compile=True, compiler="aot_eager"), LAYOUTS[layout])
    assert counters["stats"]["unique_graphs"] > 0
    for name, tensor in expected.items():
        assert (found[name] - tensor).norm() <= 1e-6 * tensor.norm(), name


def test_compiled_bf16_follows_eager_bf16() -> None:
    expected = gradients(Engine(), CAUSAL, torch.bfloat16)
    found = gradients(Engine(compile=True, compiler="aot_eager"), CAUSAL, torch.bfloat16)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert (found[name] - tensor).norm() <= 2e-2 * tensor.norm(), name


def test_four_graphs_serve_all_layers_and_one_the_loss_and_no_step_compiles_again() -> None:
    model = initialise(Llama(CONFIG, engine=Engine(compile=True, compiler="aot_eager")), 0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    graphs = []
    for step in range(6):
        cut = 1 + 2 * step  # other documents at every step
        model.loss(TOKENS[:, :-1], TOKENS[:, 1:], Layout(((cut, 16 - cut), (16,)))).backward()
        optimiser.step()
        optimiser.zero_grad()
        model.eval()
        with torch.no_grad():
            model(TOKENS[:1, :9])  # validation of another shape in between
        model.train()
        graphs.append(counters["stats"]["unique_graphs"])
    assert graphs == [5] * 6
    assert not counters["graph_break"]


def test_manual_keeps_the_same_bytes_when_compiled() -> None:
    kept = []
    for compile in (False, True):
        model = initialise(Llama(CONFIG, engine=Engine(compile=compile, compiler="aot_eager")), 0)
        free = {parameter.data_ptr() for parameter in model.parameters()}
        storages: dict[int, int] = {}

        def pack(tensor: Tensor, free: set[int] = free, storages: dict[int, int] = storages) -> Tensor:
            if tensor.untyped_storage().data_ptr() not in free:
                storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = model.loss(TOKENS[:, :-1], TOKENS[:, 1:])
        kept.append(sum(storages.values()))
        loss.backward()
    assert kept[0] == kept[1]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_inductor_equals_eager(dtype: torch.dtype) -> None:
    expected = gradients(Engine(), CAUSAL, dtype)
    found = gradients(Engine(compile=True), CAUSAL, dtype)
    for name, tensor in expected.items():
        limit = 2e-6 if dtype == torch.float32 else 3e-2
        assert (found[name] - tensor).norm() <= limit * tensor.norm(), name


def refusal(engine: Engine, device: str = "cpu") -> str:
    with pytest.raises(UserError) as raised:
        engine.check(torch.device(device))
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_without_a_c_compiler_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setenv("CXX", "no-such-compiler")
    said = refusal(Engine(compile=True))
    assert "needs a C++ compiler and 'no-such-compiler' is not found: install one" in said and "compile=false" in said
    Engine().check(torch.device("cpu"))  # eager needs none


def test_a_program_that_is_no_compiler_is_said_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/bin/false")
    assert "'/bin/false' does not work as one: install one" in refusal(Engine(compile=True))
    monkeypatch.delenv("CXX")
    Engine(compile=True).check(torch.device("cpu"))


def test_on_windows_and_without_triton_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(engines, "choose", lambda name, device: None)
    assert "pip install triton" in refusal(Engine(compile=True), "cuda")
    monkeypatch.setattr(sys, "platform", "win32")
    assert "Windows: use WSL" in refusal(Engine(compile=True))


def test_selective_is_not_compiled() -> None:
    with pytest.raises(UserError, match=r"compile=true does not go with recompute=selective.*recompute=manual"):
        Engine(recompute="selective", compile=True)
