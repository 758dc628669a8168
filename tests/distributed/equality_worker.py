"""Run by torchrun: on every mesh of this many processes, every policy gives one process's losses and norms

Each rank computes the single process's numbers itself; nothing is exchanged but what training exchanges.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
from typing import Any

import torch
import torch._dynamo
from torch._dynamo.utils import counters

from packtrain.model.config import ModelConfig
from packtrain.model.engine import Engine
from packtrain.model.initialisation import initialise
from packtrain.model.layout import CAUSAL, Layout, document_lengths
from packtrain.model.llama import Llama
from packtrain.parallel.config import Degrees
from packtrain.parallel.fsdp import fill, last_micro_batch, shard_model
from packtrain.parallel.mesh import Mesh, make_mesh
from packtrain.parallel.norm import clip, global_norm_and_loss
from packtrain.parallel.processes import start, stop
from packtrain.training.optimiser import build_optimiser, clip_gradients
from packtrain.training.schedule import OptimConfig

CONFIG = ModelConfig(dim=32, n_layers=3, n_heads=8, n_kv_heads=4, vocab_size=40, ffn_multiple_of=16)
UNLIKE = dataclasses.replace(  # LLaMA: every switch of the architecture that FSDP wraps
    CONFIG, norm="layer", norm_placement="post", feed_forward="gelu", positions="learned", tied_embeddings=True,
    max_sequence_length=16,
)  # fmt: skip
OPTIM = OptimConfig(learning_rate=1e-2, warmup_steps=0, schedule="constant", clip_at=0.5)
STEPS, ACCUMULATION, ROWS, T = 3, 2, 8, 16
MESHES = {
    2: (Degrees(1, 2, 1), Degrees(1, 1, 2)),
    4: (Degrees(1, 2, 2), Degrees(2, 2, 1), Degrees(1, 4, 1), Degrees(1, 1, 4)),
}


def batch(step: int) -> torch.Tensor:
    return torch.randint(0, 40, (ROWS, T + 1), generator=torch.Generator().manual_seed(step))


def train(model: Llama, documents: bool, mesh: Mesh | None) -> list[tuple[float, float]]:
    optimiser = build_optimiser(model, OPTIM)
    found = []
    for step in range(STEPS):
        whole = batch(step)
        mine = whole if mesh is None else whole.chunk(mesh.degrees.data)[mesh.data_rank]
        loss = torch.zeros(())
        for number, micro in enumerate(mine.chunk(ACCUMULATION)):
            last_micro_batch(model, number == ACCUMULATION - 1)
            layout = Layout(document_lengths(micro[:, :-1])) if documents else CAUSAL
            part = model.loss(micro[:, :-1], micro[:, 1:], layout) / ACCUMULATION
            part.backward()
            loss += part.detach()
        if mesh is None:
            norm, _ = clip_gradients(model, OPTIM)
        else:
            norm, loss, _ = global_norm_and_loss(model, loss, mesh)
            clip(model, OPTIM.clip, OPTIM.clip_at, norm)
        found.append((float(loss), float(norm)))
        optimiser.step()
        optimiser.zero_grad()
    return found


def same(found: Any, expected: Any, where: str) -> None:
    for step, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        for name, a, b in zip(("loss", "gradient norm"), ours, theirs, strict=True):
            assert abs(a - b) <= 1e-5 * abs(b), f"{where}: step {step}: {name} {a!r}, one process has {b!r}"


def weights_equal(model: Llama, reference: Llama, where: str) -> None:
    expected = dict(reference.named_parameters())
    for name, parameter in model.named_parameters():
        whole = parameter.full_tensor()  # pyright: ignore[reportAttributeAccessIssue]
        assert torch.equal(whole, expected[name]), f"{where}: {name} differs at the start"


def main(compile: bool) -> None:
    torch.set_num_threads(1)
    world = start("cpu")
    policies = ("manual", "none", "full") if compile else ("manual", "none", "full", "selective")
    for documents in (False, True):
        expected = train(initialise(Llama(CONFIG), 7), documents, None)
        for degrees, recompute in itertools.product(MESHES[world.size], policies[:1] if documents else policies):
            where = f"{degrees} {recompute} {'compiled' if compile else 'eager'}{' documents' if documents else ''}"
            mesh = make_mesh(degrees, "cpu")  # pyright: ignore[reportArgumentType]
            torch._dynamo.reset()
            counters.clear()
            engine = Engine(recompute=recompute, compile=compile, compiler="aot_eager")  # pyright: ignore
            model = shard_model(CONFIG, torch.float32, engine, mesh)
            model.to_empty(device="cpu")
            fill(model, 7, mesh)
            weights_equal(model, initialise(Llama(CONFIG), 7), where)
            model.eval()
            with torch.no_grad():
                odd = batch(0)[:, :7]
                assert torch.allclose(model(odd), initialise(Llama(CONFIG), 7)(odd), atol=1e-6), where
            model.train()
            same(train(model, documents, mesh), expected, where)
            assert (counters["stats"]["unique_graphs"] > 0) == compile, where
            if world.first:
                print("equal", where, flush=True)
    half(world.size)
    if not compile:
        other_architecture(world.size)
    stop()


def other_architecture(size: int) -> None:
    """A tied table is one parameter of the root's group, gathered for the look-up and the output alike."""
    expected = train(initialise(Llama(UNLIKE), 7), True, None)
    for degrees in (one for one in MESHES[size] if one.tensor == 1):
        mesh = make_mesh(degrees, "cpu")
        model = shard_model(UNLIKE, torch.float32, Engine(), mesh)
        model.to_empty(device="cpu")
        fill(model, 7, mesh)
        weights_equal(model, initialise(Llama(UNLIKE), 7), f"{degrees} another architecture")
        same(train(model, True, mesh), expected, f"{degrees} another architecture")
        if torch.distributed.get_rank() == 0:
            print("another architecture", degrees, flush=True)


def half(size: int) -> None:
    """bf16: parameters and moments stay fp32, and the losses follow fp32's."""
    expected = train(initialise(Llama(CONFIG), 7), False, None)
    for degrees in MESHES[size]:
        mesh = make_mesh(degrees, "cpu")
        model = shard_model(CONFIG, torch.bfloat16, dataclasses.replace(Engine()), mesh)
        model.to_empty(device="cpu")
        found = train(fill(model, 7, mesh), False, mesh)
        assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
        assert all(abs(a[0] - b[0]) < 0.03 for a, b in zip(found, expected, strict=True)), (found, expected)
        if torch.distributed.get_rank() == 0:
            print("bf16 follows", degrees, flush=True)


if __name__ == "__main__":
    main("compiled" in sys.argv)
