"""Every attention backend that runs here against the reference, the reference against autograd; which one is taken"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from packtrain.errors import UserError
from packtrain.model.attention import attend
from packtrain.model.attention_backends import choose as chooser
from packtrain.model.attention_backends import reference, sdpa, varlen, xformers
from packtrain.model.layout import CAUSAL, Layout

CPU = torch.device("cpu")
HERE = [name for name, backend in chooser.BACKENDS.items() if backend.unavailable(CPU) is None]
LAYOUTS = {
    "causal": CAUSAL,
    "ragged": Layout(((5, 1, 7, 24), (37,), (1, 1, 34, 1))),
    "one token each": Layout(((1,) * 37,) * 3),
}
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-6, torch.bfloat16: 2e-2}


@pytest.fixture(autouse=True)
def fresh_choice() -> Iterator[None]:
    caches = (chooser.choose, chooser.automatic, chooser.announce)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def heads(dtype: torch.dtype, kv_heads: int = 4) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    sizes = [(3, 37, n, 16) for n in (4, kv_heads, kv_heads, 4)]  # q, k, v, dout: (B, T, H, D)
    q, k, v, dout = (torch.randn(size, generator=generator, dtype=torch.float64).to(dtype) for size in sizes)
    return q, k, v, dout


def by_autograd(q: Tensor, k: Tensor, v: Tensor, dout: Tensor, layout: Layout) -> list[Tensor]:
    """out, dq, dk, dv of the formula, differentiated by PyTorch in fp64."""
    q, k, v = (x.double().requires_grad_() for x in (q, k, v))
    group = q.shape[2] // k.shape[2]
    scores = torch.einsum("bthd,bshd->bhts", q, k.repeat_interleave(group, 2)) / 16**0.5
    hidden = torch.ones(3, 37, 37, dtype=torch.bool).triu(1)
    if layout.documents is not None:
        for row, lengths in enumerate(layout.documents):
            number = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
            hidden[row] |= number[:, None] != number[None, :]
    P = scores.masked_fill(hidden[:, None], -torch.inf).softmax(-1)
    out = torch.einsum("bhts,bshd->bthd", P, v.repeat_interleave(group, 2))
    return [out, *torch.autograd.grad(out, (q, k, v), dout.double())]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=["fp64", "fp32", "bf16"])
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("backend", HERE)
def test_a_backend_equals_the_formula_forward_and_backward(
    backend: str, name: str, kv_heads: int, dtype: torch.dtype
) -> None:
    q, k, v, dout = heads(dtype, kv_heads)
    kernel, layout = chooser.BACKENDS[backend], LAYOUTS[name]
    out, lse = kernel.forward(q, k, v, layout)
    found = [out, *kernel.backward(dout, q, k, v, out, lse, layout)]
    assert lse.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    expected = by_autograd(q, k, v, dout, layout)
    for what, ours, exact in zip(("out", "dq", "dk", "dv"), found, expected, strict=True):
        assert ours.dtype == dtype and ours.shape == exact.shape, what
        scale = exact.abs().max() if what == "out" else max(gradient.abs().max() for gradient in expected[1:])
        error = (ours.double() - exact).abs().max() / scale  # dq and dk of single tokens are 0, a sum of terms like dv
        assert error < TOLERANCE[dtype], f"{what}: {error:.1e}"


@pytest.mark.parametrize("name", LAYOUTS)
def test_reference_and_its_gradient_pass_gradcheck(name: str) -> None:
    documents = {"causal": None, "ragged": ((2, 3), (5,)), "one token each": ((1,) * 5,) * 2}[name]
    generator = torch.Generator().manual_seed(1)
    q, k, v = (torch.randn(2, 5, n, 4, generator=generator, dtype=torch.float64).requires_grad_() for n in (4, 2, 2))
    assert torch.autograd.gradcheck(lambda q, k, v: attend(q, k, v, Layout(documents), reference), (q, k, v))


def test_xformers_own_mask_is_ours() -> None:
    bias = pytest.importorskip("xformers.ops.fmha.attn_bias")
    for lengths in ((5, 1, 7, 24), (37,), (1,) * 37):
        theirs = bias.BlockDiagonalMask.from_seqlens(list(lengths), device=CPU).make_causal().materialize((37, 37))
        assert torch.equal(Layout((lengths,)).mask(37, CPU, torch.float32)[0, 0], theirs)


def test_xformers_is_asked_for_the_rows_laid_end_to_end_under_its_own_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    bias = pytest.importorskip("xformers.ops.fmha.attn_bias")
    calls = []

    def forward_requires_grad(q: Tensor, k: Tensor, v: Tensor, mask: object) -> tuple[Tensor, Tensor]:
        calls.append((tuple(q.shape), tuple(k.shape), mask))
        return q.clone(), q.sum(-1)

    def backward(dout: Tensor, out: Tensor, lse: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: object) -> tuple:
        calls.append((tuple(dout.shape), tuple(k.shape), mask))
        return q, k, v

    fake = types.SimpleNamespace(
        LowerTriangularMask=bias.LowerTriangularMask,
        memory_efficient_attention_forward_requires_grad=forward_requires_grad,
        memory_efficient_attention_backward=backward,
    )
    monkeypatch.setattr(xformers, "_ops", lambda: fake)
    q, k, v, dout = heads(torch.float32, kv_heads=2)
    for name, shape in (("causal", (3, 37, 4, 16)), ("ragged", (1, 111, 4, 16))):
        layout = Layout(LAYOUTS[name].documents)
        out, lse = xformers.forward(q, k, v, layout)
        _, dk, _ = xformers.backward(dout, q, k, v, out, lse, layout)
        (first, second), calls = calls[-2:], calls[:-2]
        assert first[:2] == second[:2] == (shape, shape) and first[2] is second[2]
        assert out.shape == q.shape and torch.equal(dk, 2 * k), "each key head served two query heads"
        if name == "ragged":
            assert first[2].q_seqinfo.seqstart_py == [0, 5, 6, 13, 37, 74, 75, 76, 110, 111]
        else:
            assert type(first[2]) is bias.LowerTriangularMask


@pytest.mark.parametrize("name", ["xformers", "varlen"])
def test_a_backend_that_is_not_available_names_those_that_are(name: str) -> None:
    with pytest.raises(
        UserError, match=f"attention={name} runs on CUDA only; available here: sdpa, reference"
    ) as raised:
        chooser.choose(name, "cpu")
    assert "\n" not in str(raised.value)


def test_without_xformers_a_gpu_falls_back_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "xformers", None)
    monkeypatch.setitem(sys.modules, "xformers.ops", None)
    zeros = torch.zeros
    monkeypatch.setattr(torch, "zeros", lambda *size, device, dtype: zeros(*size, dtype=dtype))
    assert chooser.choose("auto", "cuda") is sdpa
    assert chooser.choose("auto", "cuda") is sdpa
    chooser.announce("cuda")
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "auto takes sdpa: xformers is not installed: pip install xformers" in said
    with pytest.raises(UserError, match=r"xformers is not installed: pip install xformers.*available here: sdpa"):
        monkeypatch.setattr(varlen, "unavailable", lambda device: "no")
        chooser.choose("xformers", "cuda")


def test_on_the_cpu_auto_is_sdpa_and_says_why_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert chooser.choose("auto", "cpu") is sdpa
    assert capsys.readouterr().err == ""
    chooser.announce("cpu")
    chooser.announce("cpu")
    assert capsys.readouterr().err == "attention=auto takes sdpa: xformers runs on CUDA only\n"
