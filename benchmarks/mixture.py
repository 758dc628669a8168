"""packed shards ─StepLoader→ tokens/s, beside litdata's own reader; a start's seconds by the corpus's size; data wait

    python -m benchmarks.mixture [--sizes 10 100 1000] [--train 5m]

Readers take turns, in one process without workers, at sequence 2048, each through a seven-domain pack: litdata's
StreamingDataset with its TokensLoader over each domain's shards (unweighted: every domain in turn, unshuffled, its
fastest case), and ours, weighted as `data=llama` and shuffled. Both are asked for whole batches as PyTorch tensors.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from litdata.streaming import StreamingDataset, TokensLoader

from benchmarks.common import interleave, parse, parser, table, write_results
from packtrain.data.config import DataConfig
from packtrain.data.integrity import Integrity
from packtrain.data.manifest import Domain, Manifest, file_sha256, save_manifest
from packtrain.data.shards import ShardWriter
from packtrain.model.config import ModelConfig
from packtrain.model.engine import Engine
from packtrain.model.initialisation import initialise
from packtrain.model.llama import Llama
from packtrain.training.data import StepDataset, StepLoader, build_mixture
from packtrain.training.steps import plan_steps

LENGTH, SEQUENCES, VOCABULARY = 2048, 16, 32_000
WEIGHTS = {"common_crawl": 0.67, "c4": 0.15, "github": 0.045, "wikipedia": 0.045, "books": 0.045, "arxiv": 0.025,
           "stack_exchange": 0.02}  # fmt: skip
SHAPES = {"5m": (256, 4, 4), "15m": (288, 6, 6)}  # dim, layers, heads of conf/model


def make_pack(folder: Path, megabytes: float) -> Path:
    """Random tokens in documents of about 1000, by the paper's shares; 2 bytes a token."""
    rng, domains = np.random.default_rng(0), {}
    for name, share in WEIGHTS.items():
        writer, left = ShardWriter(folder / name / "train", VOCABULARY), max(40_000, int(share * megabytes * 5e5))
        while left > 0:
            n = int(rng.integers(500, 1500)) if megabytes < 500 else 20_000
            ids = rng.integers(3, VOCABULARY, n + 2, dtype=np.uint16)
            ids[0], ids[-1] = 1, 2
            writer.add(ids, 4 * n)
            left -= n + 2
        held_out = ShardWriter(folder / name / "held_out", VOCABULARY)
        domains[name] = Domain(writer.close(), held_out.close())
    (folder / "tokenizer.model").write_bytes(b"made up")
    save_manifest(folder, Manifest(1, VOCABULARY, file_sha256(folder / "tokenizer.model"), {}, domains))
    return folder


def config(pack: Path, tokens: int) -> DataConfig:
    return DataConfig(str(pack), WEIGHTS, LENGTH, None, tokens, SEQUENCES * LENGTH, micro_batch=4)


def ours(pack: Path) -> Iterator[torch.Tensor]:
    """What `packtrain train` hands to its loop."""
    integrity, settings = Integrity(pack), config(pack, 10**13)
    steps = plan_steps(settings)
    mixture = build_mixture(settings, integrity.manifest, pack, steps, 1, lambda _: None)
    return iter(StepLoader(StepDataset(pack, mixture, steps), 0, 0, check=integrity.check))


def litdata(pack: Path) -> Iterator[torch.Tensor]:
    """Batches of litdata's own reader: each domain in turn, without weights or shuffling."""

    def items(name: str) -> Iterator[torch.Tensor]:
        while True:
            yield from StreamingDataset(str(pack / name / "train"), item_loader=TokensLoader(LENGTH + 1), shuffle=False)

    readers = cycle([items(name) for name in WEIGHTS])
    while True:
        yield torch.stack([next(reader) for _, reader in zip(range(SEQUENCES), readers, strict=False)])


def start_seconds(pack: Path) -> float:
    """Opening a pack up to the first batch in hand."""
    begin = time.perf_counter()
    next(ours(pack))
    return time.perf_counter() - begin


def data_wait(pack: Path, size: str, steps: int) -> dict[str, Any]:
    """Seconds that a loop waits for its batch of 16 sequences, over the seconds it works on two of them with `size`."""
    dim, layers, heads = SHAPES[size]
    model = Llama(ModelConfig(dim=dim, n_layers=layers, n_heads=heads, vocab_size=VOCABULARY), torch.float32, Engine())
    initialise(model, 1)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-4)
    batches, waited, worked = ours(pack), 0.0, 0.0
    for _ in range(steps):
        begin = time.perf_counter()
        batch = next(batches)
        got = time.perf_counter()
        micro = batch[:2].long()  # an eighth of the work: the share that is waited is at most an eighth of this
        logits = model(micro[:, :-1])
        torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), micro[:, 1:].flatten()).backward()
        optimiser.step()
        optimiser.zero_grad()
        waited, worked = waited + got - begin, worked + time.perf_counter() - begin
    return {
        "model": size,
        "wait_seconds": waited / steps,
        "step_seconds": worked / steps,
        "wait_share": waited / worked,
    }


def main(argv: Sequence[str] | None = None) -> None:
    made = parser(__doc__)
    made.add_argument("--sizes", type=float, nargs="+", default=[10, 100, 1000], help="corpora in MB of shards")
    made.add_argument("--train", choices=sorted(SHAPES), default="5m", help="the model whose data wait is measured")
    made.add_argument("--folder", default=None, help="keep the packs here")
    arguments = parse(made, argv)
    sizes = [1.0, 4.0] if arguments.quick else arguments.sizes
    rounds, batches = arguments.rounds or (2 if arguments.quick else 9), 2 if arguments.quick else 60
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        packs = {}
        for size in sizes:
            folder = Path(arguments.folder or scratch) / f"{size:g}"
            packs[size] = folder if (folder / "manifest.json").exists() else make_pack(folder, size)
        middle = packs[sizes[len(sizes) // 2]]
        readers = {"packtrain, weighted": ours(middle), "litdata, unweighted": litdata(middle)}
        timings = interleave({n: (lambda r=r: next(r)) for n, r in readers.items()}, rounds, batches, warmup=2)
        reference = timings["litdata, unweighted"].median
        for name, timing in timings.items():
            rows.append({"what": name, **timing.row(SEQUENCES * LENGTH), "of_litdata": reference / timing.median})
        starts = interleave({s: (lambda p=p: start_seconds(p)) for s, p in packs.items()}, min(rounds, 5))  # pyright: ignore
        for size, timing in starts.items():
            rows.append({"what": "start to first batch", "megabytes": size, "start_seconds": timing.median})
        if not arguments.quick:
            rows.append({"what": "data wait", **data_wait(middle, arguments.train, 3)})
    print(table(rows))
    write_results("mixture", rows, arguments, sequence_length=LENGTH, sequences=SEQUENCES)


if __name__ == "__main__":
    main()
