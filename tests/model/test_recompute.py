"""Every recompute policy gives autograd's numbers; what `manual` keeps is the formula, to the byte"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from packtrain.model import manual
from packtrain.model.attention_backends import reference, sdpa
from packtrain.model.block import TransformerBlock
from packtrain.model.config import ModelConfig
from packtrain.model.engine import Engine
from packtrain.model.initialisation import initialise
from packtrain.model.layout import CAUSAL, Layout
from packtrain.model.llama import Llama
from packtrain.model.rope import rope_table

B, T = 2, 24
CONFIGS = {
    "full heads": ModelConfig(dim=64, n_layers=1, n_heads=4, vocab_size=50, ffn_multiple_of=32),
    "grouped heads": ModelConfig(dim=64, n_layers=1, n_heads=4, n_kv_heads=2, vocab_size=50, ffn_multiple_of=32),
    "one key head": ModelConfig(dim=48, n_layers=1, n_heads=3, n_kv_heads=1, vocab_size=50, ffn_multiple_of=16),
}
LAYOUTS = {"causal": CAUSAL, "documents": Layout(((5, 1, 18), (24,)))}


def block(config: ModelConfig, recompute: Any, compiler: str | None = None) -> TransformerBlock:
    engine = Engine(recompute=recompute, compile=compiler is not None, compiler=compiler or "inductor")
    layer = TransformerBlock(config, engine)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            if parameter.ndim == 1:
                parameter.uniform_(0.5, 1.5, generator=generator)
            else:
                parameter.normal_(0.0, 1.5 * parameter.shape[1] ** -0.5, generator=generator)
    return layer


def gradients(layer: TransformerBlock, config: ModelConfig, layout: Layout, dtype: torch.dtype) -> dict[str, Tensor]:
    """y, dx and every parameter's gradient for the same x and dy."""
    generator = torch.Generator().manual_seed(1)
    x, dy = (torch.randn(B, T, config.dim, generator=generator, dtype=torch.float64).to(dtype) for _ in range(2))
    x.requires_grad_()
    rope = rope_table(layout.positions(T, x.device), config.head_dim, config.rope_theta)
    layer.zero_grad()
    y = layer(x, rope, layout, sdpa)
    y.backward(dy)
    found = {name: parameter.grad for name, parameter in layer.named_parameters()}
    return {"y": y.detach(), "x": x.grad, **found}  # pyright: ignore[reportReturnType]


def worst(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """‖found − expected‖ / ‖expected‖ of the tensor where it is largest."""
    assert found.keys() == expected.keys()
    return max(float((found[n].double() - e.double()).norm() / e.double().norm()) for n, e in expected.items())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("recompute", ["manual", "selective", "full"])
def test_every_policy_equals_autograd(recompute: str, config: str, layout: str) -> None:
    arguments = (CONFIGS[config], LAYOUTS[layout], torch.float32)
    expected = gradients(block(CONFIGS[config], "none"), *arguments)
    assert worst(gradients(block(CONFIGS[config], recompute), *arguments), expected) <= 1e-6


def _in_fp64(w: manual.Weights, x: Tensor, rope: Tensor, config: ModelConfig, layout: Layout) -> Tensor:
    plan = manual.Plan(config.head_dim, config.norm_eps, reference, layout, manual.Inner())
    return manual.ManualLayer.apply(x, rope, plan, *w)  # pyright: ignore[reportReturnType]


def _by_hand_and_by_autograd(config: ModelConfig, layout: Layout, length: int) -> tuple[Any, Any, Any]:
    generator = torch.Generator().manual_seed(2)
    rope = rope_table(layout.positions(length, torch.device("cpu")), config.head_dim, config.rope_theta).double()
    weights = [parameter.detach().double().requires_grad_() for parameter in block(config, "none").weights()]
    x = torch.randn(2, length, config.dim, generator=generator, dtype=torch.float64).requires_grad_()

    def hand(x: Tensor, *w: Tensor) -> Tensor:
        return _in_fp64(manual.Weights(*w), x, rope, config, layout)

    def textbook(x: Tensor, *parameters: Tensor) -> Tensor:
        w, C, D = manual.Weights(*parameters), config.dim, config.head_dim

        def rms(x: Tensor, g: Tensor) -> Tensor:
            return torch.nn.functional.rms_norm(x, (C,), g, config.norm_eps)

        def rotated(heads: Tensor) -> Tensor:
            pairs = torch.view_as_complex(heads.unflatten(-1, (-1, 2)))
            return torch.view_as_real(pairs * torch.view_as_complex(rope).unsqueeze(-2)).flatten(-2)

        n = rms(x, w.attention_norm)
        q, k, v = ((n @ m.T).unflatten(-1, (-1, D)) for m in (w.wq, w.wk, w.wv))
        q, k = rotated(q).transpose(1, 2), rotated(k).transpose(1, 2)
        group = config.n_heads // config.kv_heads
        k, v = k.repeat_interleave(group, 1), v.transpose(1, 2).repeat_interleave(group, 1)
        mask = layout.mask(length, x.device, x.dtype)
        out = (((q @ k.mT) / D**0.5 + mask).softmax(-1) @ v).transpose(1, 2).flatten(2)
        h = x + out @ w.wo.T
        n = rms(h, w.ffn_norm)
        return h + (torch.nn.functional.silu(n @ w.w1.T) * (n @ w.w3.T)) @ w.w2.T

    return hand, textbook, (x, *weights)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("config", CONFIGS)
def test_in_fp64_the_layer_by_hand_is_the_textbook_layer(config: str, layout: str) -> None:
    hand, textbook, inputs = _by_hand_and_by_autograd(CONFIGS[config], LAYOUTS[layout], T)
    y, expected = hand(*inputs), textbook(*inputs)
    torch.testing.assert_close(y, expected, atol=1e-12, rtol=0)
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    for ours, theirs in zip(torch.autograd.grad(y, inputs, dy), torch.autograd.grad(expected, inputs, dy), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12 * float(theirs.abs().max()) + 1e-13, rtol=0)


@pytest.mark.parametrize("documents", [None, ((2, 1), (3,))])
def test_the_whole_layer_passes_gradcheck(documents: Any) -> None:
    config = ModelConfig(dim=8, n_layers=1, n_heads=2, n_kv_heads=1, vocab_size=9, ffn_dim=6)
    hand, _, inputs = _by_hand_and_by_autograd(config, Layout(documents), 3)
    assert torch.autograd.gradcheck(hand, inputs)


def saved_bytes(layer: TransformerBlock, config: ModelConfig, dtype: torch.dtype, layout: Layout) -> tuple[int, Tensor]:
    """Bytes of all that is kept between forward and backward, each storage once, without parameters and rope."""
    x = torch.randn(B, T, config.dim).to(dtype).requires_grad_()
    rope = rope_table(layout.positions(T, x.device), config.head_dim, config.rope_theta)
    free = {tensor.untyped_storage().data_ptr() for tensor in (*layer.parameters(), rope)}
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in free:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = layer(x, rope, layout, sdpa)
    return sum(storages.values()), y


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("config", CONFIGS)
def test_manual_keeps_4d_and_2dkv_and_2ff_a_token_and_the_log_sum_exp(config: str, dtype: torch.dtype) -> None:
    c = CONFIGS[config]
    numbers = 4 * c.dim + 2 * c.kv_heads * c.head_dim + 2 * c.hidden_dim
    formula = B * T * (numbers * dtype.itemsize + c.n_heads * 4)
    kept, y = saved_bytes(block(c, "manual"), c, dtype, CAUSAL)
    assert kept == formula
    assert kept <= 0.6 * saved_bytes(block(c, "none"), c, dtype, CAUSAL)[0]
    y.sum().backward()  # and it is enough


@pytest.mark.parametrize("recompute", ["none", "full", "selective", "manual"])
def test_bf16_compute_follows_fp32_with_fp32_gradients(recompute: str) -> None:
    config = CONFIGS["grouped heads"]
    expected = gradients(block(config, "none"), config, CAUSAL, torch.float32)
    found = gradients(block(config, recompute), config, CAUSAL, torch.bfloat16)
    for name, gradient in found.items():
        assert gradient.dtype == (torch.bfloat16 if name in ("x", "y") else torch.float32), name
        error = (gradient.float() - expected[name]).norm() / expected[name].norm()
        assert 1e-4 < error < 3e-2, f"{name}: {error:.1e}"


def test_accumulated_micro_batches_are_one_batch() -> None:
    model = initialise(Llama(ModelConfig(32, 2, 2, vocab_size=40)), 0)
    tokens = torch.randint(0, 40, (4, 17), generator=torch.Generator().manual_seed(0))
    model.loss(tokens[:, :-1], tokens[:, 1:]).backward()
    whole = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    for micro in tokens.split(1):
        (model.loss(micro[:, :-1], micro[:, 1:]) / 4).backward()
    for name, parameter in model.named_parameters():
        scale = float(whole[name].abs().max())
        torch.testing.assert_close(parameter.grad, whole[name], atol=2e-6 * scale, rtol=0, msg=name)


def test_selective_saves_the_products_and_full_saves_x() -> None:
    config = CONFIGS["full heads"]
    x = torch.randn(B, T, config.dim).requires_grad_()
    assert saved_bytes(block(config, "full"), config, torch.float32, CAUSAL)[0] == x.nbytes
    seen: list[Any] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(func)
            return func(*args, **(kwargs or {}))

    rope = rope_table(torch.arange(T), config.head_dim, config.rope_theta)
    y = block(config, "selective")(x, rope, CAUSAL, sdpa)
    with Watch():
        y.sum().backward()
    products = sum(op is torch.ops.aten.mm.default for op in seen)
    assert products == 2 * 7, "the gradients of seven linear layers, and none of their outputs a second time"
    assert torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default not in seen
