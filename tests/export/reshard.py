"""Run by torchrun: the one checkpoint of RUN, written again by all processes on each mesh: reshard.py RUN OUT RxSxT …

The same training engine and the same `Saver` as in a run; OUT/RxSxT/<name of the run> is a run folder.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch

from packtrain.checkpoint.asynchronous import Saver
from packtrain.checkpoint.directory import read_meta, resolve
from packtrain.checkpoint.load import read_weights
from packtrain.checkpoint.sharded import MODEL
from packtrain.model.config import ModelConfig
from packtrain.model.engine import Engine
from packtrain.parallel.config import Degrees
from packtrain.parallel.fsdp import shard_model, take
from packtrain.parallel.mesh import make_mesh
from packtrain.parallel.processes import start, stop
from packtrain.settings import build


def main(run: Path, out: Path, *meshes: str) -> None:
    torch.set_num_threads(1)
    world = start("cpu")
    source = resolve(run)
    meta = {key: value for key, value in read_meta(source).items() if key not in ("files", "format_version")}
    config, weights = build(ModelConfig, meta["model"], "model"), read_weights(source)
    for name in meshes:
        mesh = make_mesh(Degrees(*map(int, name.split("x"))), "cpu")
        model = shard_model(config, torch.float32, Engine(), mesh)
        model.to_empty(device="cpu")
        take(model, weights, mesh)
        tensors = {MODEL + key: parameter.detach() for key, parameter in model.named_parameters()}
        tensors |= {key.replace(MODEL, "exp_avg.", 1): torch.ones_like(value) for key, value in tensors.items()}
        target = out / name / run.name
        saver = Saver()
        saver.start(target / "checkpoints" / source.name, tensors, {}, {**meta, "kind": "sharded", "mesh": name})
        saver.wait()
        if world.first:
            for file in ("tokenizer.model", "config.yaml"):
                shutil.copyfile(run / file, target / file)
    stop()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]), *sys.argv[3:])
