"""A small run whose weights are not at rest, and the exports of it that several tests read"""

from __future__ import annotations

from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file

from packtrain.checkpoint.directory import checkpoint_path, commit
from packtrain.checkpoint.load import model_to_meta
from packtrain.model.config import ModelConfig
from packtrain.model.initialisation import initialise
from packtrain.model.llama import Llama
from packtrain.tokenizer.tokenizer import Tokenizer
from tests.tiny_run import make_tokenizer

SHAPES = {
    "full heads": {"dim": 64, "n_layers": 2, "n_heads": 4},
    "grouped heads": {"dim": 64, "n_layers": 3, "n_heads": 8, "n_kv_heads": 4, "rope_theta": 500000.0},
    "odd widths": {"dim": 96, "n_layers": 2, "n_heads": 6, "n_kv_heads": 2, "ffn_dim": 200, "norm_eps": 1e-5},
}


def lively(model: Llama) -> Llama:
    """Weights far from the initial ones: wrong rows or a wrong norm then change the logits by much more than 1e-4."""
    initialise(model, 1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0 if parameter.ndim == 2 else 1.0)
            if parameter.ndim == 1:
                parameter.add_(torch.rand(parameter.shape, generator=generator))
    return model


def taught(model: Llama, ids: list[int], steps: int = 150) -> Llama:
    """A few steps of training on `ids`."""
    initialise(model, 1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(2)
    tokens = torch.tensor(ids)
    for _ in range(steps):
        at = torch.randint(0, len(ids) - 65, (8, 1), generator=generator) + torch.arange(65)
        model.loss(tokens[at][:, :-1], tokens[at][:, 1:]).backward()
        optimiser.step()
        optimiser.zero_grad()
    return model


def make_run(
    folder: Path,
    shape: str = "grouped heads",
    name: str = "small",
    tokenizer: bytes | None = None,
    train_on: str | None = None,
    **more: object,
) -> Path:
    """folder/runs/NAME with one checkpoint and its tokenizer."""
    torch.set_num_threads(1)
    run = folder / "runs" / name
    run.mkdir(parents=True)
    if tokenizer is None:
        make_tokenizer(run / "tokenizer.model", vocab_size=328)
        (run / "tokenizer.vocab").unlink(missing_ok=True)
    else:
        (run / "tokenizer.model").write_bytes(tokenizer)
    codec = tokenizer_of(run)
    values = {"max_sequence_length": 128, "vocab_size": codec.vocab_size, **SHAPES[shape], **more}
    config = ModelConfig(**values)
    model = lively(Llama(config)) if train_on is None else taught(Llama(config), codec.encode(train_on))
    meta = {
        "model": model_to_meta(config), "step": 5, "tokens": 640, "data_fingerprint": "d" * 64,
        "tokenizer_fingerprint": codec.fingerprint,
    }  # fmt: skip
    commit(
        checkpoint_path(run, 5), lambda where: save_file(dict(model.state_dict()), where / "model.safetensors"), meta
    )
    data = {"sequence_length": 64, "batch_tokens": 256, "weights": {"code": 3.0, "prose": 1.0}}
    (run / "config.yaml").write_text(yaml.safe_dump({"name": name, "data": data, "seed": 1, "precision": "fp32"}))
    return run


def tokenizer_of(run: Path) -> Tokenizer:
    return Tokenizer(run / "tokenizer.model")
