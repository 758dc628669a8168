"""One set of random weights → packtrain, transformers, llama.cpp: greedy decoding at batch 1, tokens/s

    prompt ─prefill→ first token ─decode→ n further tokens        each timed apart, interleaved round by round

    24m    fp32: packtrain, transformers.generate, llama.cpp F32; the tokens of the first two are compared
    400m   fp32, int8, int4 of packtrain; transformers fp32; llama.cpp Q8_0 and Q4_0
    7b     on a GPU: packtrain bf16, eager and compiled, beside transformers bf16: --device cuda --model 7b

`bandwidth_share` is the bytes of weights and cache that a token must read, over its time, of the GPU's bandwidth
(hardware table; a CPU: none). llama.cpp: pip install 'packtrain[llamacpp]', which compiles for minutes. Its Q4_0 files
keep the output matrix in Q8_0; packtrain's int4 has it in int4.
"""

from __future__ import annotations

import gc
import importlib.util
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import common, contenders
from benchmarks.train_step import SHAPE, TINY
from packtrain.estimate.hardware import lookup
from packtrain.export.gguf import GGUFType, write_gguf
from packtrain.inference.batch import generate_ids
from packtrain.inference.decoder import Decoder
from packtrain.inference.matrices import ACTIVATIONS, Precision
from packtrain.inference.settings import GenerationConfig
from packtrain.model.config import ModelConfig
from packtrain.model.initialisation import initialise
from packtrain.model.llama import Llama

SHAPES = {
    "24m": SHAPE,
    "400m": ModelConfig(dim=1024, n_layers=26, n_heads=16, vocab_size=32_000, max_sequence_length=2048),
    "7b": ModelConfig(dim=4096, n_layers=32, n_heads=32, vocab_size=32_000, max_sequence_length=2048),
    "tiny": TINY,
}
# implementation, precision, compiled; the first is what the others are compared with
CASES: dict[str, list[tuple[str, str, bool]]] = {
    "24m": [("transformers", "fp32", False), ("packtrain", "fp32", False), ("llama.cpp", "f32", False)],
    "400m": [
        ("transformers", "fp32", False), ("packtrain", "fp32", False), ("packtrain", "int8", False),
        ("packtrain", "int4", False), ("llama.cpp", "q8_0", False), ("llama.cpp", "q4_0", False),
    ],
    "7b": [("transformers", "bf16", False), ("packtrain", "bf16", False), ("packtrain", "bf16", True)],
    "tiny": [
        ("transformers", "fp32", False), ("packtrain", "fp32", False), ("packtrain", "int8", False),
        ("packtrain", "fp32", True), ("llama.cpp", "f32", False),
    ],
}  # fmt: skip
PAIRS = {"fp32": "f32", "int8": "q8_0", "int4": "q4_0"}  # ours → llama.cpp's of about the same size
Run = Callable[[list[int], int, Callable[[], None]], list[int]]  # prompt, how many, told when the first is there


@dataclass
class Case:
    """`seconds`: (prefill, decode) of every call; `tokens`: those of the last; `read`: bytes of weights for a token."""

    implementation: str
    precision: str
    compiled: bool
    run: Run
    read: int | None = None

    def __post_init__(self) -> None:
        self.seconds: list[tuple[float, float]] = []
        self.tokens: list[int] = []

    @property
    def name(self) -> str:
        return f"{self.implementation} {self.precision}{' compiled' * self.compiled}"

    def __call__(self, prompt: list[int], n: int) -> None:
        """Prefill and n steps of decoding."""
        first: list[float] = []
        begin = time.perf_counter()
        self.tokens = self.run(prompt, n + 1, lambda: first.append(time.perf_counter()))
        self.seconds.append((first[0] - begin, time.perf_counter() - first[0]))
        assert len(self.tokens) == n + 1, f"{self.name} gave {len(self.tokens)} tokens of {n + 1}"


def packtrain(config: ModelConfig, precision: Precision, compiled: bool, device: torch.device) -> tuple[Run, int]:
    """The run, and the bytes of weights that a token reads: all but the embedding, of which it reads a row."""
    with device:
        model = Llama(config)
    draw(model, device)
    decoder = Decoder.of(model, precision)
    if compiled:
        decoder.compile_step()

    def run(prompt: list[int], n: int, first: Callable[[], None]) -> list[int]:
        greedy, tokens = GenerationConfig(max_new_tokens=n, temperature=0.0), []
        for _, token in generate_ids(decoder, [prompt], greedy, config.max_sequence_length, -1):
            tokens.append(token)
            if len(tokens) == 1:
                first()
        return tokens

    return run, sum(t.nbytes for name, t in decoder.state_dict().items() if name != "embedding")


class Streamer:
    """What `transformers.generate` hands the prompt to and then each new token."""

    def __init__(self, first: Callable[[], None]) -> None:
        self.calls, self.first = 0, first

    def put(self, value: torch.Tensor) -> None:
        self.calls += 1
        if self.calls == 2:
            self.first()

    def end(self) -> None:
        pass


def transformers(config: ModelConfig, precision: str, device: torch.device) -> Run:
    with device:
        model: Any = contenders.transformers(config, False)[0]
    contenders.load("transformers", model, config) if device.type == "cpu" else contenders.draw(model)
    model = model.to(torch.float32 if precision == "fp32" else torch.bfloat16).eval()

    def run(prompt: list[int], n: int, first: Callable[[], None]) -> list[int]:
        ids = torch.tensor([prompt], device=device)
        found = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=n, do_sample=False, use_cache=True,
            eos_token_id=None, pad_token_id=0, streamer=Streamer(first),
        )  # fmt: skip
        return found[0, len(prompt) :].tolist()

    return run


def llama_cpp(config: ModelConfig, kind: GGUFType, threads: int) -> Run:
    """The same weights in a GGUF file without a vocabulary."""
    from llama_cpp import Llama as Theirs  # pyright: ignore[reportMissingImports]

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        write_gguf(path, dict(initialise(Llama(config), 0).state_dict()), config, None, kind, "random")
        theirs = Theirs(
            str(path), n_ctx=config.max_sequence_length, n_threads=threads, n_threads_batch=threads, verbose=False,
            use_mmap=False,
        )  # fmt: skip

    def run(prompt: list[int], n: int, first: Callable[[], None]) -> list[int]:
        theirs.reset()
        tokens = []
        for token in theirs.generate(prompt, temp=0.0, top_k=1):
            tokens.append(token)
            if len(tokens) == 1:
                first()
            if len(tokens) == n:
                break
        return tokens

    return run


def draw(model: Llama, device: torch.device) -> None:
    """The weights of seed 0 that every peer has, too; billions of them are random ones drawn on the device."""
    initialise(model, 0) if device.type == "cpu" else contenders.draw(model)


def cases_of(size: str, device: torch.device, compile: bool) -> list[Case]:
    """Those that are installed; without `compile` none that is compiled."""
    config, cases = SHAPES[size], []
    for implementation, precision, compiled in CASES[size]:
        if compiled and not compile:
            continue
        module = implementation.replace(".", "_")
        if importlib.util.find_spec(module) is None:
            print(f"{implementation} is not installed and is left out")
            continue
        read = None
        if implementation == "packtrain":
            run, read = packtrain(config, precision, compiled, device)  # pyright: ignore[reportArgumentType]
        elif implementation == "transformers":
            run = transformers(config, precision, device)
        else:
            run = llama_cpp(config, precision, torch.get_num_threads())  # pyright: ignore[reportArgumentType]
        cases.append(Case(implementation, precision, compiled, run, read))
        gc.collect()
    return cases


def measure(
    size: str, device: torch.device, compile: bool, prompt_tokens: int, new_tokens: int, rounds: int
) -> list[dict[str, Any]]:
    """Rows of one size. Raises `AssertionError` where packtrain's fp32 tokens are not transformers'."""
    config, cases = SHAPES[size], cases_of(size, device, compile)
    generator = torch.Generator().manual_seed(0)
    prompt = torch.randint(3, config.vocabulary, (prompt_tokens,), generator=generator).tolist()
    common.interleave({case.name: lambda case=case: case(prompt, new_tokens) for case in cases}, rounds)
    for case in cases:
        del case.seconds[:-rounds]  # the warm-up
    named = {case.name: case for case in cases}
    peer = next((case for case in cases if case.implementation == "transformers"), None)
    if peer and peer.precision == "fp32" and "packtrain fp32" in named:
        assert named["packtrain fp32"].tokens == peer.tokens, "packtrain and transformers give different tokens"
    gpu = lookup(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
    cache = 2 * config.n_layers * config.kv_heads * config.head_dim * (prompt_tokens + new_tokens // 2)
    rows = []
    for case in cases:
        prefill, decode = (list(times) for times in zip(*case.seconds, strict=True))
        timing = common.Timing(tuple(decode))
        row: dict[str, Any] = {
            "model": size, "implementation": case.implementation, "precision": case.precision,
            "compiled": case.compiled, "tokens_per_second": new_tokens / timing.median, "spread": timing.spread,
            "prefill_tokens_per_second": prompt_tokens / common.Timing(tuple(prefill)).median,
        }  # fmt: skip
        if case.implementation == "packtrain":
            if peer:
                row["times_transformers"] = common.ratio([d for _, d in peer.seconds], decode)
            if theirs := named.get(f"llama.cpp {PAIRS.get(case.precision)}"):
                row["times_llama_cpp"] = common.ratio([d for _, d in theirs.seconds], decode)
            if gpu and case.read:
                per_token = case.read + cache * ACTIVATIONS[case.precision].itemsize  # pyright: ignore
                row["bandwidth_share"] = row["tokens_per_second"] * per_token / (gpu.memory_gb_per_second * 1e9)
        rows.append(row)
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--model", choices=("24m", "400m", "7b"), action="append", help="default: 24m, 400m; cuda: 7b")
    parser.add_argument("--no-compile", action="store_true", help="leave out what is compiled")
    arguments = common.parse(parser, argv)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device here")
    device = torch.device(arguments.device)
    sizes = arguments.model or (["7b"] if device.type == "cuda" else ["24m", "400m"])
    rows: list[dict[str, Any]] = []
    for size in ["tiny"] if arguments.quick else sizes:
        prompt, new = {"tiny": (8, 8), "24m": (64, 128), "400m": (64, 32), "7b": (128, 256)}[size]
        rounds = arguments.rounds or {"tiny": 2, "24m": 15, "400m": 9, "7b": 7}[size]
        rows += measure(size, device, not arguments.no_compile, prompt, new, rounds)
        gc.collect()
        print(common.table(rows))
    common.write_results("generate", rows, arguments)


if __name__ == "__main__":
    main()
