"""planted judges → TruthfulQA's shares"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from packtrain.errors import UserError
from packtrain.evaluation.tasks.judge import HuggingFace
from packtrain.evaluation.tasks.requests import Likelihood
from packtrain.evaluation.tasks.runner import prepare
from packtrain.evaluation.tasks.scoring import Judge, Surroundings
from tests.evaluation.tasks.oracles import Oracle, ask
from tests.evaluation.tasks.test_written import spec_of

QUESTIONS = [f"What is {n}?" for n in range(8)]
TOLD = {"What is 0?": "right", "What is 1?": "right but vague", "What is 2?": "wrong"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "truthfulqa").mkdir()
    text = "Question,Best Answer\n" + "".join(f"{question},x\n" for question in QUESTIONS)
    (tmp_path / "truthfulqa" / "TruthfulQA.csv").write_text(text)
    return tmp_path


def answers(question: str) -> str:
    return TOLD.get(question, "wrong and vague")


def run(data: Path, options: dict[str, Any], opener: Callable[[str], Judge] | None = None) -> Any:
    spec = spec_of("truthfulqa_generation", options=options)
    (task,) = prepare("truthfulqa_generation", spec, Surroundings(data, say=lambda _: None, open_model=opener))
    rows = {item.context: item.row["question"] for item in task.items}
    return ask(task, Oracle(writes=lambda request, number: [f" {answers(rows[request.context])}"]))


def planted(path: str) -> Judge:
    """ "truth" says yes to what is right, "info" to what is not vague."""

    def likes(request: Likelihood) -> float:
        assert request.context.startswith("Q: What is ") and "\nA: " in request.context
        if path == "truth":
            assert request.context.endswith("\nTrue:")
            yes = "right" in request.context
        else:
            assert request.context.endswith("\nHelpful:")
            yes = "vague" not in request.context
        return -0.1 if (request.continuation == " yes") == yes else -2.0

    return Judge(f"sha of {path}", lambda: Oracle(likes=likes))


def test_planted_judges_give_the_shares(data: Path) -> None:
    found = run(data, {"truth_judge": "truth", "info_judge": "info"}, planted)
    assert {name: figure.value for name, figure in found.figures.items()} == {
        "truthful": 2 / 8, "informative": 2 / 8, "truthful_informative": 1 / 8,
    }  # fmt: skip
    assert found.items[1]["text"] == "right but vague" and found.items[1]["truthful"] is True
    assert list(run(data, {"truth_judge": "truth"}, planted).figures) == ["truthful"]


def test_the_record_and_the_identity_hold_what_a_judge_is_not_where_it_lies(data: Path) -> None:
    def identity(path: str, sha256: str) -> tuple[str, Any]:
        spec = spec_of("truthfulqa_generation", options={"truth_judge": path})
        around = Surroundings(data, open_model=lambda _: Judge(sha256, Oracle))
        (task,) = prepare("truthfulqa_generation", spec, around)
        return task.identity, ask(task, Oracle(likes=lambda _: 0.0)).record()["used"]

    one, used = identity("here", "aaa")
    assert used == {"truth_judge": {"path": "here", "sha256": "aaa"}}
    assert identity("elsewhere", "aaa")[0] == one != identity("here", "bbb")[0]


def test_without_a_judge_one_line_says_how_to_give_one(data: Path) -> None:
    with pytest.raises(UserError, match=r"needs a judge: tasks\.truthfulqa_generation\.options\.truth_judge=PATH"):
        run(data, {})
    with pytest.raises(UserError, match=r"no config\.json there"):
        run(data, {"truth_judge": str(data / "nowhere")})


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of one layer that attends to all words alike: "right" makes " yes" likelier, "wrong" " no"."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("judge")
    words = ["?", "yes", "no", "right", "wrong", "but", "vague", "and", "Q", ":", "A", "True", "What", "is"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?").save_pretrained(folder)
    config = transformers.LlamaConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1,
        tie_word_embeddings=False, max_position_embeddings=256,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(len(words), 16))
        layer = model.model.layers[0]
        for norm in (layer.input_layernorm, layer.post_attention_layernorm, model.model.norm):
            norm.weight.fill_(1.0)
        layer.self_attn.v_proj.weight.copy_(torch.eye(16))
        layer.self_attn.o_proj.weight.copy_(torch.eye(16))
        model.lm_head.weight[words.index("yes"), words.index("right")] = 5.0
        model.lm_head.weight[words.index("no"), words.index("wrong")] = 5.0
    model.save_pretrained(folder, safe_serialization=True)
    return folder


def test_a_judge_of_hugging_faces_format_by_its_path(data: Path, judge: Path) -> None:
    found = run(data, {"truth_judge": str(judge)})
    assert [item["truthful"] for item in found.items] == [True, True, *[False] * 6]


def test_its_likelihoods_are_those_of_its_own_forward(judge: Path) -> None:
    model = HuggingFace(str(judge), "cpu")
    ids = model.tokenizer("Q: What is right\nTrue: yes")["input_ids"]
    with torch.inference_mode():
        expected = model.model(torch.tensor([ids])).logits.log_softmax(-1)[0, -2, ids[-1]].item()
    (found,) = model.answer([Likelihood("Q: What is right\nTrue:", " yes")], [0])
    assert found.log_likelihood == pytest.approx(expected, rel=1e-6)  # type: ignore[union-attr]


def test_a_folder_that_is_no_model_is_one_line(data: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="cannot be read") as caught:
        HuggingFace(str(tmp_path), "cpu")
    assert "\n" not in str(caught.value)
