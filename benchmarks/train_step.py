"""One training step of packtrain, transformers and litgpt: the same shape, weights, precision and optimiser

    forward → loss → backward → clipping by norm → fused AdamW → gradients dropped

24.4M parameters (dim 288, 6 layers, 6 heads, vocabulary 32 000), batch 4 × 256, eager and compiled, fp32 and bf16,
interleaved in this process. `peak_bytes` is what forward and backward hold beyond weights, gradients and optimiser
state: it is counted while gradients are there already, as in accumulation. `matrix_products` is their share of time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from benchmarks import common
from benchmarks.contenders import Contender, batch, build, check_same_loss, installed
from packtrain.model.config import ModelConfig

SHAPE = ModelConfig(dim=288, n_layers=6, n_heads=6, vocab_size=32_000, max_sequence_length=256)
TINY = ModelConfig(dim=32, n_layers=2, n_heads=2, vocab_size=101, max_sequence_length=32, ffn_multiple_of=16)


def optimiser_step(contender: Contender, tokens: torch.Tensor, targets: torch.Tensor) -> Callable[[], None]:
    """One whole step, with an optimiser of its own."""
    parameters = list(contender.model.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)

    def step() -> None:
        contender.loss(tokens, targets).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


def memory(contender: Contender, tokens: torch.Tensor, targets: torch.Tensor) -> int:
    """Peak bytes of forward and backward, gradients being there already."""
    contender.loss(tokens, targets).backward()
    found = common.peak_bytes(lambda: contender.loss(tokens, targets).backward())
    contender.model.zero_grad(set_to_none=True)
    return found


def measure(precision: str, compiled: bool, quick: bool, rounds: int) -> list[dict[str, Any]]:
    """Rows of one mode, each with `times_best_peer`: the best peer's seconds over this one's."""
    torch._dynamo.reset()
    config, (B, T) = (TINY, (2, 16)) if quick else (SHAPE, (4, 256))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokens, targets = batch(config, B, T, device)
    contenders = [build(name, config, precision, compiled, device) for name in installed()]
    check_same_loss(contenders, tokens, targets)
    peaks = {c.implementation: memory(c, tokens, targets) for c in contenders}
    cases = {c.implementation: optimiser_step(c, tokens, targets) for c in contenders}
    shares = {name: common.matrix_share(case) for name, case in cases.items()}
    timings = common.interleave(cases, rounds, steps=1, warmup=1)
    ours, peers = timings["packtrain"], [timings[name] for name in timings if name != "packtrain"]
    rows = []
    for contender in contenders:
        timing = timings[contender.implementation]
        row = {**contender.labels, **timing.row(B * T), "peak_bytes": peaks[contender.implementation]}
        row["matrix_products"] = shares[contender.implementation]
        if contender.implementation == "packtrain" and peers:
            row["times_best_peer"] = min(common.ratio(peer.rounds, ours.rounds) for peer in peers)
            row["times_best_peer_cpu"] = min(common.ratio(peer.cpu, ours.cpu) for peer in peers)
            row["peak_over_best_peer"] = row["peak_bytes"] / min(b for n, b in peaks.items() if n != "packtrain")
        rows.append(row)
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--precision", choices=("fp32", "bf16"), action="append", help="default: both")
    parser.add_argument("--mode", choices=("eager", "compiled"), action="append", help="default: both (quick: eager)")
    arguments = common.parse(parser, argv)
    rounds = arguments.rounds or (2 if arguments.quick else 12)
    shape = {"dim": 288, "layers": 6, "heads": 6, "vocabulary": 32_000, "batch": [4, 256]}
    rows: list[dict[str, Any]] = []
    for mode in arguments.mode or (["eager"] if arguments.quick else ["eager", "compiled"]):
        for precision in arguments.precision or ["fp32", "bf16"]:
            rows += measure(precision, mode == "compiled", arguments.quick, rounds)
            common.write_results("train_step", rows, arguments, shape=None if arguments.quick else shape)
    print(common.table(rows))


if __name__ == "__main__":
    main()
