"""Every recompute policy: seconds a step and what a forward keeps for the backward

    none  manual  selective  full        the same model, the same batch, interleaved

`activation_bytes` stays alive between the model's forward (without the loss) and its backward; `peak_bytes` is the most
that forward, loss and backward hold at once beyond weights, gradients and optimiser state. Compiled, `selective` is
missing: packtrain refuses it, since the compiler would choose anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from benchmarks import common
from benchmarks.contenders import batch
from packtrain.model.compute import DTYPES, Precision
from packtrain.model.config import ModelConfig
from packtrain.model.engine import Engine
from packtrain.model.initialisation import initialise
from packtrain.model.llama import Llama

POLICIES = ("none", "manual", "selective", "full")
ON_CPU = (ModelConfig(dim=288, n_layers=6, n_heads=6, vocab_size=32_000, max_sequence_length=256), 4)
ON_CUDA = (ModelConfig(dim=2048, n_layers=16, n_heads=16, vocab_size=32_000, max_sequence_length=2048), 4)
TINY = (ModelConfig(dim=32, n_layers=2, n_heads=2, vocab_size=101, max_sequence_length=32, ffn_multiple_of=16), 2)


def measure(shape: tuple[ModelConfig, int], precision: Precision, compiled: bool, rounds: int) -> list[dict[str, Any]]:
    """A row for each policy of one mode, times relative to `none` taken round by round."""
    config, sequences = shape
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokens, targets = batch(config, sequences, config.max_sequence_length, device)
    memory: dict[str, tuple[int, int]] = {}
    cases: dict[str, Callable[[], Any]] = {}
    for policy in POLICIES:
        if compiled and policy == "selective":
            continue
        with device:
            model = Llama(config, DTYPES[precision], Engine(recompute=policy, compile=compiled))
        initialise(model, 0)

        def step(model: Llama = model) -> None:
            model.loss(tokens, targets).backward()  # onto gradients that stay, as in accumulation

        step()
        memory[policy] = (common.held_bytes(lambda model=model: model.hidden(tokens)), common.peak_bytes(step))
        cases[policy] = step
    timings = common.interleave(cases, rounds, warmup=1)
    rows = []
    for policy, timing in timings.items():
        kept, peak = memory[policy]
        rows.append({
            "recompute": policy, "precision": precision, "compiled": compiled, **timing.row(tokens.numel()),
            "times_none": common.ratio(timing.rounds, timings["none"].rounds),
            "times_none_cpu": common.ratio(timing.cpu, timings["none"].cpu),
            "activation_bytes": kept, "of_none": kept / memory["none"][0], "peak_bytes": peak,
        })  # fmt: skip
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--precision", choices=("fp32", "bf16"), action="append", help="default: both")
    parser.add_argument("--mode", choices=("eager", "compiled"), action="append", help="default: eager")
    arguments = common.parse(parser, argv)
    shape = TINY if arguments.quick else ON_CUDA if torch.cuda.is_available() else ON_CPU
    rounds = arguments.rounds or (2 if arguments.quick else 10)
    rows: list[dict[str, Any]] = []
    precisions: list[Precision] = arguments.precision or ["fp32", "bf16"]
    for mode in arguments.mode or ["eager"]:
        for precision in precisions:
            rows += measure(shape, precision, mode == "compiled", rounds)
    print(common.table(rows))
    config, sequences = shape
    said = {"dim": config.dim, "layers": config.n_layers, "heads": config.n_heads, "vocabulary": config.vocabulary}
    common.write_results("recompute", rows, arguments, shape={**said, "batch": [sequences, config.max_sequence_length]})


if __name__ == "__main__":
    main()
