"""Likelihood requests of tasks: the native runner beside lm-eval's own `hf` model on the same weights

    packtrain   packed rows: a question stands once before its choices, logits only where a token is scored
    lm-eval     HFLM on our Hugging Face export: every choice behind its own copy of the question

Both answer the very same requests, interleaved round by round; the largest difference of a likelihood stands beside the
times. The weights are random, for a speed does not depend on them; the tokenizer is trained on Python's documentation.
With --data-dir the questions are the tasks' own, without it they are made up.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import sentencepiece
import torch

from benchmarks.common import interleave, parse, parser, ratio, table, write_results
from packtrain.evaluation.tasks.answerer import ModelAnswerer
from packtrain.evaluation.tasks.requests import Likelihood, Scored
from packtrain.evaluation.tasks.runner import Prepared, batches, prepare
from packtrain.evaluation.tasks.scoring import Surroundings
from packtrain.evaluation.tasks.spec import load
from packtrain.export.write import write
from packtrain.inference.decoder import Decoder
from packtrain.jobs.quantise import read_text
from packtrain.model.config import ModelConfig
from packtrain.model.initialisation import initialise
from packtrain.model.llama import Llama
from packtrain.tokenizer.tokenizer import Tokenizer

SHAPES = {True: {"dim": 64, "n_layers": 2, "n_heads": 4}, False: {"dim": 384, "n_layers": 6, "n_heads": 6}}
FILES = {"piqa": "piqa.test.jsonl", "arc_easy": "ARC-Easy.test.jsonl", "siqa": "social_i_qa.test.jsonl"}
CONTEXT = 1024


def main(argv: list[str] | None = None) -> None:
    made = parser(__doc__)
    made.add_argument("--data-dir", default=None, help="folder of the evaluation sets; default: made-up questions")
    made.add_argument("--tasks", default=",".join(FILES), help="tasks asked, of multiple choice")
    made.add_argument("--items", type=int, default=None, help="of each task, spread over all")
    made.add_argument("--batch-size", type=int, default=16, help="lm-eval's; ours is --batch-tokens")
    made.add_argument("--batch-tokens", type=int, default=4096)
    arguments = parse(made, argv)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(arguments, Path(folder))
    print(table(rows))
    write_results("evaluate", rows, arguments, batch_size=arguments.batch_size, batch_tokens=arguments.batch_tokens)


def measure(arguments: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    tokenizer, decoder = model_of(folder, arguments.quick)
    ours = ModelAnswerer(decoder, tokenizer, CONTEXT, arguments.batch_tokens)
    theirs = harness_model(folder / "hf", arguments.batch_size)
    data_dir = Path(arguments.data_dir) if arguments.data_dir else made_up(folder / "data")
    items = arguments.items or (6 if arguments.quick else 64)
    rounds = arguments.rounds or (2 if arguments.quick else 5)
    rows = []
    for task in tasks(arguments.tasks.split(","), data_dir, items):
        asked = [request for batch in batches(task.items) for item in batch for request in item.requests]
        instances = [instance(request) for request in asked if isinstance(request, Likelihood)]
        found: dict[str, list[float]] = {}

        def native(asked: Any = asked, found: Any = found) -> None:
            answers = ours.answer(asked, range(len(asked)))
            found["packtrain"] = [answer.log_likelihood for answer in answers if isinstance(answer, Scored)]

        def harness(instances: Any = instances, found: Any = found) -> None:
            found["lm-eval hf"] = [nats for nats, _ in theirs.loglikelihood(instances, disable_tqdm=True)]

        timings = interleave({"packtrain": native, "lm-eval hf": harness}, rounds)
        pairs = zip(found["packtrain"], found["lm-eval hf"], strict=True)
        apart = max(abs(a - b) for a, b in pairs)
        faster = ratio(timings["lm-eval hf"].rounds, timings["packtrain"].rounds)
        for name, timing in timings.items():
            rows.append({
                "task": task.key, "implementation": name, "items": len(task.items), "requests": len(asked),
                "items_per_second": len(task.items) / timing.median, "seconds": timing.median, "spread": timing.spread,
                "times_lm_eval": faster if name == "packtrain" else None, "largest_difference_nats": apart,
            })  # fmt: skip
    return rows


def tasks(names: list[str], data_dir: Path, items: int) -> list[Prepared]:
    around = Surroundings(data_dir, skip_malformed=True)
    return [task for name, spec in load(names).items() for task in prepare(name, spec, around, items)]


def model_of(folder: Path, quick: bool) -> tuple[Tokenizer, Decoder]:
    """A random model and its tokenizer; its Hugging Face export in folder/hf."""
    text = read_text(None)
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(text[: 200_000 if quick else 2_000_000].splitlines()),
        model_prefix=str(folder / "tokenizer"), model_type="bpe", vocab_size=512 if quick else 8000,
        byte_fallback=True, split_digits=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    tokenizer = Tokenizer(folder / "tokenizer.model")
    shape: dict[str, Any] = SHAPES[quick]
    config = ModelConfig(vocab_size=tokenizer.vocab_size, max_sequence_length=CONTEXT, **shape)
    model = Llama(config)
    initialise(model, seed=1)
    (folder / "hf").mkdir()
    write(folder / "hf", dict(model.state_dict()), config, tokenizer, "hf", "fp32")
    return tokenizer, Decoder.of(model, "fp32")


def harness_model(path: Path, batch_size: int) -> Any:
    from lm_eval.models.huggingface import HFLM

    for name in ("lm_eval", "transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model: Any = HFLM  # its decorators hide its parameters
    return model(pretrained=str(path), batch_size=batch_size, device=device, dtype="float32")


def instance(request: Likelihood) -> Any:
    from lm_eval.api.instance import Instance

    return Instance("loglikelihood", {}, (request.context, request.continuation), 0)


def made_up(folder: Path) -> Path:
    """Questions of the length that PIQA's have, in the files that the tasks read."""
    (folder / "commonsense").mkdir(parents=True)
    words = [word for word in read_text(None)[:20_000].split() if word.isalpha()]
    rows = []
    for i in range(min(64, len(words) // 20 - 1)):
        own = words[20 * i :]
        choices = [" ".join(own[12 + c : 20 + c]) for c in range(4)]
        rows.append({"question": " ".join(own[:12]), "choices": choices, "gold": i % 4})
    for name in FILES.values():
        (folder / "commonsense" / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


if __name__ == "__main__":
    main()
