"""a real run: `data trace sample=` is what it trained on, `data remove` names the steps that saw a document"""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from packtrain.cli import main
from packtrain.data.documents import Document, DocumentWriter
from packtrain.data.shards import Shards
from packtrain.data.trace import trace
from packtrain.jobs.data_runs import place_of
from packtrain.training import data as training_data
from tests.data.corpus import WORDS, write_tokenizer

pytestmark = pytest.mark.slow
SEEN: list[list[list[int]]] = []  # the rows of each step of the run


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of two domains, and a run of 12 steps of 8 sequences whose weights change at step 6."""
    base = tmp_path_factory.mktemp("runs")
    write_tokenizer(base / "tokenizer.model")
    for domain, count in (("a", 60), ("b", 25)):
        with DocumentWriter(base / "documents" / domain) as writer:
            for i in range(count):
                split = "held_out" if i % 10 == 0 else "train"
                words = " ".join(random.Random(f"{domain}{i}").choices(WORDS, k=30))  # no two blocks are alike
                writer.write(Document(f"{domain}/{i}", words, domain, "made up", split=split))
    pack = ["pack", f"input={base / 'documents'}", f"tokenizer={base / 'tokenizer.model'}", f"output={base / 'pack'}"]
    assert main([*pack, "processes=1"]) == 0
    seen: list[list[list[int]]] = []
    read = training_data.StepDataset.__getitem__

    def remembered(self: training_data.StepDataset, step: int):
        rows, drawn = read(self, step)
        if step == len(seen):
            seen.append(rows.tolist())
        return rows, drawn

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_data.StepDataset, "__getitem__", remembered)
        assert main(
            ["train", "name=r", f"runs_dir={base / 'runs'}", "data=packed", f"data.path={base / 'pack'}",
             "data.sequence_length=32", "data.batch_tokens=256", f"data.tokens={256 * 12}", "model.dim=32",
             "model.n_heads=2", "model.n_layers=1", "model.ffn_multiple_of=32", "optim.warmup_steps=2", "device=cpu",
             "+data.weights.a=0.7", "+data.weights.b=0.3", f"+changes.late.at_tokens={256 * 6}",
             "+changes.late.weights.a=0.2", "+changes.late.weights.b=0.8", "~callbacks.domain_loss",
             "~callbacks.carbon", "loggers=csv"]
        ) == 0  # fmt: skip
    SEEN[:] = seen
    return base


def test_a_sample_is_traced_to_the_tokens_that_the_run_read(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen = SEEN
    assert len(seen) == 12
    for sample in (0, 5, 47, 48, 95):
        pack, domain, start, count = place_of(base / "runs" / "r", sample, None)
        tokens = Shards(pack, domain, "train").tokens(start, count + 1).tolist()
        assert tokens == seen[sample // 8][sample % 8]
    assert main(["data", "trace", f"run={base / 'runs' / 'r'}", "sample=47"]) == 0
    assert re.search(r"tokens [\d,]+ … [\d,]+  [ab]/\d+  from made up \([ab]/train-00000", capsys.readouterr().out)
    assert main(["data", "trace", f"run={base / 'runs' / 'r'}", "sample=96"]) == 2
    assert "has samples 0 … 95" in capsys.readouterr().err


def test_the_steps_that_saw_a_document_are_those_whose_batches_hold_it(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = SEEN
    for name in ("a/13", "b/7"):
        domain = name[0]
        shards = Shards(base / "pack", domain, "train")
        (own,) = [p for p in trace(base / "pack", domain, "train", 0, len(shards)) if p.document.id == name]
        blocks = {
            tuple(shards.tokens(i * 32, 33).tolist())
            for i in range((len(shards) - 1) // 32)
            if i * 32 < own.end and own.start < i * 32 + 33
        }
        steps = [step for step, rows in enumerate(seen) if any(tuple(row) in blocks for row in rows)]
        capsys.readouterr()
        assert main(["data", "remove", f"shards={base / 'pack'}", f"ids=[{name}]", f"runs_dir={base / 'runs'}",
                     f"output={tmp_path / domain}"]) == 0  # fmt: skip
        assert steps and f"r saw {name} at step {', '.join(map(str, steps))}\n" in capsys.readouterr().out
