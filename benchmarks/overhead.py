"""What the Trainer's loop costs: `packtrain train` beside a bare loop over the same module, model and batches

    bare      loss → backward → clip → AdamW            the same functions, in a for loop
    trainer   Lightning's loop, the data module, the callbacks of conf/callbacks/default.yaml that watch every step

    meter     the throughput meter alone: the seconds spent in its hooks and marks, a row at every step

The first two take the same steps of about 0.3 s or more, in alternating blocks. `overhead` is the Trainer's seconds
over the bare loop's, less one; the meter's is its own seconds over the Trainer's. Checkpoints and validation are
pauses, not part of a step, and left out here.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback

from benchmarks import common
from packtrain.callbacks.loss_curves import LossCurves
from packtrain.callbacks.meter import RunLog
from packtrain.callbacks.throughput import Throughput
from packtrain.data.config import DataConfig
from packtrain.data.manifest import Domain, Manifest, file_sha256, save_manifest
from packtrain.data.shards import write_shards
from packtrain.model.config import ModelConfig
from packtrain.model.initialisation import initialise
from packtrain.model.llama import Llama
from packtrain.training.module import LlamaModule
from packtrain.training.optimiser import build_optimiser, clip_gradients
from packtrain.training.schedule import OptimConfig
from packtrain.training.setup import Setup, prepare
from packtrain.training.trainer import build_trainer

SHAPE = ModelConfig(dim=192, n_layers=4, n_heads=6, vocab_size=4096, max_sequence_length=256)
TINY = ModelConfig(dim=32, n_layers=2, n_heads=2, vocab_size=101, max_sequence_length=32, ffn_multiple_of=16)


def made_up_shards(folder: Path, vocabulary: int, tokens: int) -> Path:
    """Packed shards of random documents, so that the Trainer reads its data as it always does."""
    rng = np.random.default_rng(0)
    splits = {}
    for split, count in (("train", tokens), ("held_out", tokens // 10)):
        documents = [([1, *rng.integers(3, vocabulary, 254).tolist(), 2], 254) for _ in range(count // 256 + 1)]
        splits[split] = write_shards(folder / "random" / split, documents, vocabulary)
    (folder / "tokenizer.model").write_bytes(b"made up")
    fingerprint = file_sha256(folder / "tokenizer.model")
    save_manifest(folder, Manifest(1, vocabulary, fingerprint, {"made": "up"}, {"random": Domain(**splits)}))
    return folder


class Clock(Callback):
    """Seconds and CPU seconds from one step's end to the next; the bare loop's turn falls between two blocks."""

    def __init__(self, block: int, bare: Any) -> None:
        self.block, self.bare = block, bare
        self.meter_seconds = [0.0]  # one figure a step
        self.seconds: list[tuple[float, float]] = []
        self.bare_seconds: list[tuple[float, float]] = []
        self._since: tuple[float, float] | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        meter = next(callback for callback in trainer.callbacks if isinstance(callback, Throughput))
        for owner, names in ((pl_module.clock, ("begin", "update", "end")), (meter, ("measure", "on_train_batch_end"))):
            for name in names:
                setattr(owner, name, self._timed(getattr(owner, name)))

    def _timed(self, method: Any) -> Any:
        def call(*arguments: Any) -> Any:
            begin = time.perf_counter()
            found = method(*arguments)
            self.meter_seconds[-1] += time.perf_counter() - begin
            return found

        return call

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.meter_seconds.append(0.0)
        if trainer.global_step % self.block:
            return
        if self._since is not None:
            self.seconds.append(self._per_step(self._since))
            begin = _now()
            for _ in range(self.block):
                self.bare()
            self.bare_seconds.append(self._per_step(begin))
        self._since = _now()

    def _per_step(self, begin: tuple[float, float]) -> tuple[float, float]:
        wall, cpu = _now()
        return (wall - begin[0]) / self.block, (cpu - begin[1]) / self.block


def _now() -> tuple[float, float]:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


def bare_loop(setup: Setup, model: Llama, optim: OptimConfig, device: torch.device) -> Any:
    """One step of the same work without a framework."""
    optimiser = build_optimiser(model, optim)
    generator = torch.Generator().manual_seed(0)
    size = (setup.steps.sequences, setup.steps.sequence_length + 1)
    tokens = torch.randint(3, setup.model.vocabulary, size, generator=generator).to(device)

    def step() -> None:
        total = torch.zeros((), device=device)
        for micro in tokens.split(setup.steps.micro_batch):
            loss = model.loss(micro[:, :-1], micro[:, 1:]) / setup.steps.accumulation
            loss.backward()
            total += loss.detach()
        clip_gradients(model, optim)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


def main(argv: Sequence[str] | None = None) -> None:
    arguments = common.parse(common.parser(__doc__), argv)
    config, batch_tokens, block = (TINY, 64, 2) if arguments.quick else (SHAPE, 2048, 4)
    rounds = arguments.rounds or (2 if arguments.quick else 16)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        steps = (rounds + 1) * block
        shards = made_up_shards(Path(folder) / "shards", config.vocabulary, 2 * steps * batch_tokens)
        data = DataConfig(
            path=str(shards),
            weights={},
            vocab_size=None,
            sequence_length=config.max_sequence_length,
            batch_tokens=batch_tokens,
            tokens=steps * batch_tokens,
        )
        optim = OptimConfig(learning_rate=1e-4, warmup_steps=0)
        setup = prepare(config, data, optim, seed=1)
        module = LlamaModule(initialise(Llama(setup.model), 1), optim, setup.steps, 1)
        bare = bare_loop(setup, initialise(Llama(setup.model), 1).to(device), optim, device)
        clock = Clock(block, bare)
        callbacks = [Throughput(), LossCurves(), RunLog(), clock]
        trainer = build_trainer(Path(folder), device, steps, callbacks, [], setup.checkpoint_identity())
        trainer.fit(module, datamodule=setup.datamodule())
    trainer_times, bare_times = (list(zip(*times, strict=True)) for times in (clock.seconds, clock.bare_seconds))
    rows: list[dict[str, Any]] = []
    for name, (wall, cpu) in (("bare", bare_times), ("trainer", trainer_times)):
        rows.append({"loop": name, **common.Timing(tuple(wall), tuple(cpu)).row(batch_tokens)})
    rows[1]["overhead"] = common.ratio(trainer_times[0], bare_times[0]) - 1
    rows[1]["overhead_cpu"] = common.ratio(trainer_times[1], bare_times[1]) - 1
    rows[1]["overhead_milliseconds"] = 1000 * statistics.median(
        t - b for t, b in zip(trainer_times[1], bare_times[1], strict=True)
    )
    meter = statistics.median(clock.meter_seconds[:-1])
    rows.append({"loop": "meter", "seconds_per_step": meter, "overhead": meter / rows[1]["seconds_per_step"]})
    print(common.table(rows))
    common.write_results("overhead", rows, arguments, steps_per_round=block)


if __name__ == "__main__":
    main()
