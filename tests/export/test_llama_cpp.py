"""llama.cpp runs the GGUF export: the same tokens of real text, the same next token, every quantisation"""

from __future__ import annotations

import pydoc_data.topics
from pathlib import Path

import pytest
import torch

from packtrain.checkpoint.load import load_model
from packtrain.cli import main
from packtrain.tokenizer.training import train_tokenizer
from tests.export.making import make_run, tokenizer_of

pytestmark = pytest.mark.slow
LINES = 400


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """400 lines of documentation as they stand; none has a ▁, which would be a space to llama.cpp."""
    found = [line for text in pydoc_data.topics.topics.values() for line in text.splitlines() if line.strip()]
    return [line for line in found if "▁" not in line][: 4 * LINES : 4]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that learnt something: the likeliest next token then leads by more than rounding."""
    text = "\n\n".join(pydoc_data.topics.topics.values())
    folder = tmp_path_factory.mktemp("llama_cpp")
    run = make_run(folder, "grouped heads", tokenizer=train_tokenizer([text[:200_000]], 1000), train_on=text[:300_000])
    return run


def exported(run: Path, precision: str) -> Path:
    output = run.parent.parent / f"gguf-{precision}"
    assert main(["export", f"checkpoint={run}", "format=gguf", f"precision={precision}", f"output={output}"]) == 0
    return next(output.glob("*.gguf"))


def test_llama_cpp_gives_our_tokens_and_our_next_token(run: Path, lines: list[str]) -> None:
    llama_cpp = pytest.importorskip("llama_cpp", reason="make test-slow installs it")
    tokenizer = tokenizer_of(run)
    theirs = llama_cpp.Llama(str(exported(run, "fp32")), n_ctx=256, logits_all=True, verbose=False, n_threads=2)
    ours, _ = load_model(next((run / "checkpoints").glob("step-*")))
    assert len(lines) == LINES
    same = total = 0
    for line in lines:
        ids = tokenizer.encode(line)
        assert theirs.tokenize(line.encode(), add_bos=False, special=False) == ids, line
        ids = [tokenizer.bos_id, *ids][:128]
        theirs.reset()
        theirs.eval(ids)
        expected = torch.tensor(theirs.scores[: len(ids)])
        with torch.inference_mode():
            found = ours(torch.tensor([ids]))[0]
        # Where two tokens are as likely as fp32 can tell, either may come first.
        best = found.topk(2).values
        clear = best[:, 0] - best[:, 1] > 1e-3
        assert torch.equal(found.argmax(-1)[clear], expected.argmax(-1)[clear]), line
        same += int(clear.sum())
        total += len(ids)
    assert same > 0.99 * total


@pytest.mark.parametrize(("precision", "share"), [("fp16", 0.99), ("q8_0", 0.97), ("q4_0", 0.80)])
def test_quantised_files_run_and_mostly_agree(run: Path, lines: list[str], precision: str, share: float) -> None:
    llama_cpp = pytest.importorskip("llama_cpp", reason="make test-slow installs it")
    tokenizer = tokenizer_of(run)
    theirs = llama_cpp.Llama(str(exported(run, precision)), n_ctx=256, logits_all=True, verbose=False, n_threads=2)
    ours, _ = load_model(next((run / "checkpoints").glob("step-*")))
    same = total = 0
    for line in lines[:100]:
        ids = [tokenizer.bos_id, *tokenizer.encode(line)][:128]
        theirs.reset()
        theirs.eval(ids)
        with torch.inference_mode():
            found = ours(torch.tensor([ids]))[0].argmax(-1)
        same += int((found == torch.tensor(theirs.scores[: len(ids)]).argmax(-1)).sum())
        total += len(ids)
    assert same / total > share, f"{same / total:.3f}"
