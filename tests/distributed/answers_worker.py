"""Run by torchrun: a model split over these processes gives one process's likelihoods and texts, the work shared"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from packtrain.evaluation.tasks.forward import ForwardAnswerer
from packtrain.evaluation.tasks.requests import Answer, Completions, Generate, Likelihood, Request, Scored
from packtrain.model.config import ModelConfig
from packtrain.model.engine import Engine
from packtrain.model.initialisation import initialise
from packtrain.model.llama import Llama
from packtrain.parallel.config import Degrees
from packtrain.parallel.fsdp import fill, shard_model
from packtrain.parallel.mesh import make_mesh
from packtrain.parallel.processes import World, start, stop
from packtrain.tokenizer.tokenizer import Tokenizer

ASKED: list[Request] = [
    *(Likelihood(f"def f{i}(x):", choice) for i in range(5) for choice in (" return x", " packs", " tokens of x * 7")),
    *(Generate(f"def f{i}(x):{' packs' * i}", stop, 4 + i) for i in range(5) for stop in ((), ("\n", "e"))),
]


def answers(model: Llama, tokenizer: Any, *place: Any) -> tuple[list[Answer], int]:
    """And how many forwards this process has computed for them."""
    forwards = []
    hook = model.register_forward_pre_hook(lambda *_: forwards.append(1))
    answerer = ForwardAnswerer(model.eval(), tokenizer, 24, 100, torch.device("cpu"), *place)
    found = answerer.answer(ASKED, range(len(ASKED)))
    hook.remove()
    return found, len(forwards)


def same(found: Answer, expected: Answer, split: bool) -> None:
    if isinstance(expected, Completions) or not split:
        assert found == expected
    else:
        assert isinstance(found, Scored) and found.log_likelihood == pytest.approx(expected.log_likelihood, abs=1e-4)


def main(model_file: Path) -> None:
    torch.set_num_threads(1)
    world = start("cpu")
    tokenizer = Tokenizer(model_file)
    config = ModelConfig(dim=32, n_layers=2, n_heads=4, vocab_size=tokenizer.vocab_size, max_sequence_length=32)
    expected, all_forwards = answers(initialise(Llama(config), 7), tokenizer, World())
    assert len({one.texts for one in expected if isinstance(one, Completions)}) > 3
    for degrees in (Degrees(2, 1, 1), Degrees(1, 2, 1), Degrees(1, 1, 2)):
        mesh = make_mesh(degrees, "cpu")
        model = shard_model(config, torch.float32, Engine(), mesh)
        model.to_empty(device="cpu")
        fill(model, 7, mesh)
        answered, forwards = answers(model, tokenizer, world, mesh.data_rank, mesh.data_ranks)
        for found, wanted in zip(answered, expected, strict=True):
            same(found, wanted, degrees.tensor > 1)
        assert (forwards == all_forwards) if degrees.tensor > 1 else (forwards < 0.7 * all_forwards), forwards
        if world.first:
            print("equal", degrees, flush=True)
    stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
