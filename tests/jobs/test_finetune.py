"""`packtrain finetune`: a run like any other, whose checkpoints know how their model is to be asked"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from packtrain.checkpoint.directory import checkpoint_path, commit, committed, read_meta, resolve
from packtrain.checkpoint.load import load_model, model_to_meta, read_weights
from packtrain.cli import main
from packtrain.jobs.base import open_base
from packtrain.model.config import ModelConfig
from packtrain.model.initialisation import initialise
from packtrain.model.llama import Llama
from packtrain.tokenizer.tokenizer import Tokenizer
from tests.tiny_run import make_tokenizer

WORDS = tuple("red blue green cat dog cow one two three sun moon star tea milk beer oak elm fir iron gold".split())  # noqa: SIM905
ROWS = [(f"What follows {word}?", after) for word, after in zip(WORDS, [*WORDS[1:], WORDS[0]], strict=True)]
STOP = "+callbacks.stop={_target_: tests.training.test_run.StopAfter, step: %d}"


@dataclass
class Outcome:
    code: int
    out: str
    err: str
    run_dir: Path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """runs/base, a model that was never trained; words.jsonl, twenty instructions."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("home")
    base = folder / "runs" / "base"
    base.mkdir(parents=True)
    text = "### Instruction:\n\n### Response:\n" * 9 + "".join(f"{asked} {answer}\n" for asked, answer in ROWS)
    tokenizer = make_tokenizer(base / "tokenizer.model", text, 400)
    config = ModelConfig(
        dim=64, n_layers=2, n_heads=4, vocab_size=tokenizer.vocab_size, max_sequence_length=64, ffn_multiple_of=32,
        name="tiny",
    )  # fmt: skip
    model = initialise(Llama(config), seed=1)
    meta = {
        "model": model_to_meta(config), "step": 0, "tokens": 0, "data_fingerprint": "",
        "tokenizer_fingerprint": tokenizer.fingerprint,
    }  # fmt: skip
    commit(checkpoint_path(base, 0), lambda to: save_file(dict(model.state_dict()), to / "model.safetensors"), meta)
    (base / "config.yaml").write_text(yaml.safe_dump({"name": "base", "data": {"sequence_length": 64}}))
    lines = (json.dumps({"instruction": asked, "output": answer}) for asked, answer in ROWS)
    (folder / "words.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture
def finetune(home: Path, monkeypatch, capsys) -> Callable[..., Outcome]:
    """12 steps in runs/NAME of `home`; later arguments override earlier ones."""
    monkeypatch.chdir(home)

    def run(*overrides: str, name: str) -> Outcome:
        capsys.readouterr()
        settings = {
            "init_from": "runs/base", "data.path": "words.jsonl", "data.epochs": "4", "data.batch_tokens": "128",
            "data.held_out": "0.2", "optim.learning_rate": "1e-3", "callbacks.domain_loss.interval_tokens": "256",
            "callbacks.checkpointing.interval_tokens": "512", "callbacks.carbon.power_watts": "10",
        }  # fmt: skip
        settings |= dict(o.split("=", 1) for o in overrides if o.split("=")[0] in settings)
        plain = [o for o in overrides if o.split("=")[0] not in settings]
        code = main(["finetune", f"name={name}", *(f"{k}={v}" for k, v in settings.items()), *plain])
        printed = capsys.readouterr()
        return Outcome(code, printed.out, printed.err, home / "runs" / name)

    return run


@pytest.fixture
def packtrain(home: Path, monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(home)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(list(arguments))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_tiny_model_learns_twenty_instructions_by_heart_and_answers_them(finetune, packtrain, home: Path) -> None:
    outcome = finetune(
        "data.epochs=100", "data.held_out=0", "optim.learning_rate=1e-2", "protocol=cosine", "data.batch_tokens=448",
        "callbacks.checkpointing.interval_tokens=1e9", "log_interval_tokens=1e9", name="heart",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "MFU unknown (tokens that are only read have no logits, so a token costs less than 6N FLOPs)" in outcome.out
    assert "20 examples in" in outcome.out and "the loss is the responses' alone" in outcome.out
    asked = home / "asked.txt"
    asked.write_text("\n".join(text for text, _ in ROWS))
    code, out, err = packtrain(
        "generate", "checkpoint=runs/heart", "chat=true", "prompts=asked.txt", "temperature=0", "max_new_tokens=8",
        "batch_size=20",
    )  # fmt: skip
    assert code == 0, err
    assert [json.loads(line)["completion"] for line in out.splitlines()] == [answer for _, answer in ROWS]
    code, out, _ = packtrain(
        "generate", "checkpoint=runs/heart", "chat=true", "prompt='What follows tea?'", "temperature=0"
    )
    assert (code, out) == (0, "milk\n")


@pytest.mark.parametrize("lora", ["lora.rank=0", "lora.rank=4"])
def test_a_stopped_run_continues_bit_by_bit(finetune, lora: str) -> None:
    whole = finetune(lora, name=f"whole-{lora[-1]}")
    assert whole.code == 0, whole.err
    stopped = finetune(lora, STOP % 5, name=f"stopped-{lora[-1]}")
    assert stopped.code == 130 and "stopped at step 6" in stopped.out
    again = finetune(lora, name=f"stopped-{lora[-1]}")
    assert again.code == 0 and "continues after step 6" in again.out
    pick = ("step", "train/loss", "train/grad_norm", "val/loss")
    ours, theirs = ([[row[c] for c in pick] for row in rows(run.run_dir)] for run in (again, whole))
    assert ours == theirs
    last = [load_file(committed(run.run_dir)[-1] / "model.safetensors") for run in (again, whole)]
    assert last[0].keys() == last[1].keys() and all(torch.equal(last[0][name], last[1][name]) for name in last[0])
    chosen = [json.loads((run.run_dir / "chosen.json").read_text()) for run in (again, whole)]
    assert chosen[0] == chosen[1]
    done = finetune(lora, name=f"stopped-{lora[-1]}")
    assert done.code == 0 and "is finished" in done.out


def test_the_checkpoint_with_the_best_held_out_loss_is_kept_and_taken(finetune) -> None:
    run = finetune("data.epochs=8", "optim.learning_rate=1e-2", name="chosen")
    assert run.code == 0, run.err
    scored = {int(row["step"]): float(row["val/loss"]) for row in rows(run.run_dir) if row["val/loss"]}
    best = min(scored, key=lambda step: scored[step])
    said: list[str] = []
    assert resolve(run.run_dir, said.append) == checkpoint_path(run.run_dir, best) and f"step {best}" in said[0]
    assert len(committed(run.run_dir)) <= 3
    newest = committed(run.run_dir)[-1]
    (checkpoint_path(run.run_dir, best) / "state.pt").write_bytes(b"")
    assert resolve(run.run_dir, said.append) == newest or best == max(scored)


def test_the_checkpoint_with_the_best_score_of_the_tasks_is_kept_and_taken(finetune, packtrain, home: Path) -> None:
    answers = [answer for _, answer in ROWS]
    items = [{"asked": asked, "choices": [answers[n], *answers[n - 5 : n]], "gold": 0}
             for n, (asked, _) in enumerate(ROWS) if n >= 5]  # fmt: skip
    (home / "words_test.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    task = {"scoring": "choice", "metric": "acc_char", "sources": [{"path": "words_test.jsonl"}],
            "prompt": "### Instruction:\n{asked}\n\n### Response:\n"}  # fmt: skip
    (home / "words.yaml").write_text(yaml.safe_dump(task))
    asking = ("callbacks.checkpointing.choose=tasks", "callbacks.downstream.tasks=[words.yaml]",
              "callbacks.downstream.data_dir=.", "callbacks.downstream.interval_tokens=256")  # fmt: skip
    run = finetune(*asking, "data.epochs=8", "optim.learning_rate=1e-2", name="by-tasks")
    assert run.code == 0, run.err
    scored = {int(row["step"]): float(v) for row in rows(run.run_dir) if (v := row["tasks/words/acc_char"])}
    assert len(scored) > 2 and len({*scored.values()}) > 1
    best = max(scored, key=lambda step: scored[step])
    chosen = json.loads((run.run_dir / "chosen.json").read_text())
    assert chosen == {"step": best, "metric": "tasks", "value": pytest.approx(scored[best], abs=1e-6)}
    code, _, err = packtrain(
        "evaluate",
        "checkpoint=runs/by-tasks",
        "task_file=[words.yaml]",
        "data_dir=.",
        "device=cpu",
        "output=words.json",
    )
    assert code == 0 and f"step {best}, chosen by its tasks" in err, err
    figures = json.loads((home / "words.json").read_text())["tasks"]["words"]["figures"]
    assert figures["acc_char"]["value"] == pytest.approx(scored[best], abs=1e-6)


def test_instructions_from_the_hub_are_those_of_the_file(finetune, home: Path, monkeypatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", home / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    (home / "someone" / "words").mkdir(parents=True)  # where the loader looks before it asks the hub
    (home / "someone" / "words" / "train.jsonl").write_text((home / "words.jsonl").read_text())
    config = [{"config_name": "default", "data_files": [{"split": "train", "path": "train.jsonl"}]}]
    (home / "someone" / "words" / "README.md").write_text(f"---\nconfigs: {json.dumps(config)}\n---\n")
    runs = [finetune(f"data.path={path}", "data.epochs=1", name=name)
            for path, name in (("someone/words", "from-hub"), ("words.jsonl", "from-file"))]  # fmt: skip
    assert [run.code for run in runs] == [0, 0], runs[0].err
    assert "16 examples in" in runs[0].out and "4 held out, format alpaca" in runs[0].out
    losses = [[row["train/loss"] for row in rows(run.run_dir)] for run in runs]
    assert losses[0] == losses[1]
    outcome = finetune("data.path=nobody/nothing", name="wrong")
    assert outcome.code == 2 and not outcome.run_dir.exists()
    assert "the Hugging Face hub did not give nobody/nothing" in outcome.err and "data.path=FILE.jsonl" in outcome.err
    outcome = finetune("data.path=someone/words", "data.split=test", name="wrong")
    assert outcome.code == 2 and "the folder someone/words holds no set with a split 'test'" in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1


def test_lora_keeps_the_base_once_and_everything_that_reads_it_gets_the_merged_model(
    finetune, packtrain, home: Path
) -> None:
    run = finetune("lora.rank=4", "optim.learning_rate=1e-2", name="lora")
    assert "MFU unknown (frozen weights have no gradients, so a token costs less than 6N FLOPs)" in run.out
    assert run.code == 0 and "parameters are trained" in run.out and "MFU is not logged" in run.out
    path = resolve(run.run_dir, lambda _: None)
    small = load_file(path / "model.safetensors")
    assert small and all(name.endswith(("lora_a", "lora_b")) for name in small)
    base = load_file(checkpoint_path(home / "runs" / "base", 0) / "model.safetensors")
    whole = read_weights(path)
    assert whole.keys() == base.keys()
    name = "layers.1.feed_forward.w2"
    product = small[f"{name}.lora_b"].double() @ small[f"{name}.lora_a"].double()
    expected = base[f"{name}.weight"].double() + 16 / 4 * product
    torch.testing.assert_close(whole[f"{name}.weight"], expected.float(), rtol=0, atol=1e-7)
    assert torch.equal(whole["tok_embeddings.weight"], base["tok_embeddings.weight"])
    code, _, err = packtrain("evaluate", "checkpoint=runs/lora")
    assert code == 0, err
    scored = json.loads((run.run_dir / "evaluation.json").read_text())["domains"]["instructions"]
    best = json.loads((run.run_dir / "chosen.json").read_text())["value"]
    assert scored["loss"] == pytest.approx(best, rel=1e-5)  # training measured it unmerged
    code, _out, err = packtrain("evaluate", "checkpoint=runs/base", "shards=runs/lora", "output=before.json")
    assert code == 0 and json.loads((home / "before.json").read_text())["domains"]["instructions"]["loss"] > best
    (run.run_dir / "base").rename(run.run_dir / "elsewhere")
    code, _, err = packtrain("generate", "checkpoint=runs/lora", "prompt=a")
    assert code == 1 and "holds LoRA's adapters alone" in err
    (run.run_dir / "elsewhere").rename(run.run_dir / "base")


def test_from_a_hugging_face_folder_and_back_with_its_chat_template(finetune, packtrain, home: Path) -> None:
    transformers = pytest.importorskip("transformers")
    assert packtrain("export", "checkpoint=runs/base", "format=hf", "output=hf")[0] == 0
    assert packtrain("export", "checkpoint=runs/base", "format=meta", "output=meta")[0] == 0
    ours = load_file(checkpoint_path(home / "runs" / "base", 0) / "model.safetensors")
    for folder in ("hf", "meta"):
        theirs = open_base(folder).weights()
        assert all(torch.equal(theirs[name], weight) for name, weight in ours.items())
    run = finetune("init_from=hf", "data.epochs=1", "lora.rank=2", name="from-hf")
    assert run.code == 0, run.err
    code, _, err = packtrain("export", "checkpoint=runs/from-hf", "format=hf", "output=hf-chat")
    assert code == 0, err
    theirs = transformers.AutoTokenizer.from_pretrained(home / "hf-chat")
    turns = [
        ("system", "Be brief."),
        ("user", "What follows cat?"),
        ("assistant", "dog"),
        ("user", "What follows dog?"),
    ]
    messages = [{"role": role, "content": content} for role, content in turns]
    ids = theirs.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
    tokenizer = Tokenizer(home / "runs" / "base" / "tokenizer.model")
    from packtrain.jobs.opening import template_of

    template = template_of(read_meta(resolve(run.run_dir, lambda _: None)))
    assert template is not None and list(ids) == [tokenizer.bos_id, *template.prompt(tokenizer, turns)]


def test_generate_chat_turn_by_turn_and_without_a_template(finetune, packtrain, home: Path, monkeypatch) -> None:
    assert finetune("data.epochs=1", name="talk").code == 0
    said = iter(["What follows red?", "What follows cat?", ""])
    monkeypatch.setattr("builtins.input", lambda _="": next(said))
    code, out, err = packtrain(
        "generate", "checkpoint=runs/talk", "chat=true", "interactive=true", "max_new_tokens=30", "system=Say."
    )
    assert code == 0 and len(out.splitlines()) >= 2 and "its oldest 1 turns are forgotten" in err
    code, out, err = packtrain("generate", "checkpoint=runs/base", "chat=true", "prompt=a")
    assert code == 2 and "has no chat template, for it was not fine-tuned: packtrain finetune" in err
    code, out, err = packtrain("generate", "checkpoint=runs/talk", "system=a", "prompt=a")
    assert code == 2 and "give chat=true" in err
    code, out, err = packtrain("quantise", "checkpoint=runs/talk", "precision=bf16", "output=small", "text_tokens=64")
    assert code == 0, err
    code, out, err = packtrain(
        "generate", "checkpoint=small", "chat=true", "prompt='What follows red?'", "max_new_tokens=2"
    )
    assert code == 0, err
    again = finetune("init_from=small", name="of-small")
    assert again.code == 2 and "small is a quantised model; give the run or the checkpoint" in again.err
    model, meta = load_model(resolve(home / "runs" / "talk", lambda _: None))
    assert meta["chat"]["name"] == "alpaca" and model.config.name == "tiny"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["init_from=nowhere"], "nowhere does not exist"),
        (["init_from=words.jsonl"], "words.jsonl is a file; give the run or the checkpoint"),
        (["data.path=none.jsonl"], "data.path=none.jsonl: no such file"),
        (["data.sequence_length=65"], "data.sequence_length=65 is longer than the model's 64"),
        (["data.sequence_length=8", "data.too_long=drop"], "every one of 20 examples is longer"),
        (["lora.rank=2", "compile=true"], "lora.rank runs on one device, without compile=true"),
        (["lora.rank=2", "lora.targets=[w9]"], "w9 is no matrix of a layer"),
        (["data.epochs=0"], "data.epochs=0: expected more than 0"),
        (["callbacks.checkpointing.choose=valloss"], "choose=valloss: expected val/loss, another val/… column"),
        (["callbacks.checkpointing.choose=tasks/piqa/acc_char"], "choose=tasks/piqa/acc_char: expected val/loss"),
        (["data.batch_tokens=6400"], "too few tokens for one batch"),
        (["template.user=nothing"], "expected {content} in it, once"),
        (["data.too_long=cutt"], "data.too_long=cutt"),
        (["callbacks.checkpointing.choose=tasks"], "choose=tasks: no task is asked while training; give callbacks"),
    ],
)
def test_a_mistake_is_one_line(finetune, wrong: list[str], said: str) -> None:
    outcome = finetune(*wrong, name="wrong")
    assert outcome.code == 2 and said in outcome.err, outcome.err
    assert len(outcome.err.strip().splitlines()) == 1 and not outcome.run_dir.exists()


def test_another_template_data_or_rank_under_the_same_name_is_refused(finetune) -> None:
    assert finetune("data.epochs=1", name="same").code == 0
    for other, said in (("template=plain", "tuning.template"), ("lora.rank=2", "tuning.lora.rank")):
        outcome = finetune("data.epochs=1", other, name="same")
        assert outcome.code == 2 and "holds another run" in outcome.err and said in outcome.err


def test_a_spike_of_a_fine_tuning_prints_the_text_that_was_read_and_the_responses_loss(finetune, packtrain) -> None:
    spike = "callbacks.loss_spike."
    settings = (f"{spike}window=4", f"{spike}least=2", f"{spike}threshold=1e-9", "data.micro_batch=1")
    outcome = finetune(*settings, "data.epochs=6", "data.held_out=0", name="spike")
    assert outcome.code == 0, outcome.err
    record = json.loads(sorted((outcome.run_dir / "spikes").glob("step-*.json"))[0].read_text())
    code, out, err = packtrain("spike", "run=runs/spike", f"step={record['step']}")
    assert code == 0, err
    assert "### Instruction:" in out and "What follows" in out and "### Response:" in out
    assert all(f"loss {entry['loss']:.4g}" in out for entry in record["sequences"])
    unrecorded = next(step for step in (1, 2) if step != record["step"])
    code, out, err = packtrain("spike", "run=runs/spike", f"step={unrecorded}")
    assert code == 0 and "What follows" in out, err
