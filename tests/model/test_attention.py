"""model/attention.py: the kernel against the formula, and which kernel is taken"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator

import pytest
import torch

from packtrain.model import attention


@pytest.fixture(autouse=True)
def fresh_choice() -> Iterator[None]:
    attention.causal_attention.cache_clear()
    yield
    attention.causal_attention.cache_clear()


def test_the_kernel_is_softmax_of_the_visible_scores() -> None:
    q, k, v = torch.randn(3, 2, 9, 4, 8, generator=torch.Generator().manual_seed(0)).unbind(0)  # (B, T, H, D)
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / 8**0.5
    hidden = torch.ones(9, 9, dtype=torch.bool).triu(1)
    expected = torch.einsum("bhqk,bkhd->bqhd", scores.masked_fill(hidden, -torch.inf).softmax(-1), v)
    torch.testing.assert_close(attention.causal_attention("cpu")(q, k, v), expected, atol=1e-6, rtol=0)


def test_without_xformers_a_gpu_falls_back_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "xformers", None)
    monkeypatch.setitem(sys.modules, "xformers.ops", None)
    assert attention.causal_attention("cuda") is attention._sdpa
    assert attention.causal_attention("cuda") is attention._sdpa
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "xformers" in said and "PyTorch's attention" in said


def test_with_xformers_a_gpu_uses_it_under_the_causal_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    class LowerTriangularMask:
        pass

    def memory_efficient_attention(
        q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, attn_bias: object
    ) -> torch.Tensor:
        calls.append((tuple(q.shape), type(attn_bias)))
        return v

    fake = types.SimpleNamespace(
        LowerTriangularMask=LowerTriangularMask, memory_efficient_attention=memory_efficient_attention
    )
    monkeypatch.setitem(sys.modules, "xformers", types.ModuleType("xformers"))
    monkeypatch.setitem(sys.modules, "xformers.ops", fake)
    zeros = torch.zeros
    monkeypatch.setattr(attention.torch, "zeros", lambda *size, device, dtype: zeros(*size, dtype=dtype))
    attend = attention.causal_attention("cuda")
    attend(*(zeros(2, 5, 3, 8) for _ in range(3)))
    assert calls[-1] == ((2, 5, 3, 8), LowerTriangularMask), "xformers takes (B, T, H, D) as it is"


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_on_a_gpu_the_chosen_kernel_equals_the_cpu(dtype: torch.dtype) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    q, k, v = torch.randn(3, 2, 65, 4, 64, generator=torch.Generator().manual_seed(0)).unbind(0)
    expected = attention.causal_attention("cpu")(q, k, v)
    found = attention.causal_attention("cuda")(*(x.to("cuda", dtype) for x in (q, k, v)))
    torch.testing.assert_close(found.float().cpu(), expected, atol=2e-3 if dtype == torch.float32 else 2e-2, rtol=0)
