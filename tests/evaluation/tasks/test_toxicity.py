"""texts → scorers, one of them a local server that fails as services do → means without what is missing"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from packtrain.errors import Failure, UserError
from packtrain.evaluation.tasks.requests import Generate
from packtrain.evaluation.tasks.runner import prepare
from packtrain.evaluation.tasks.scoring import Surroundings
from packtrain.evaluation.toxicity_scorers import KEY, Classifier, Perspective, Recorded, read_recorded
from tests.evaluation.tasks.oracles import Oracle, ask
from tests.evaluation.tasks.test_written import spec_of


class Service(ThreadingHTTPServer):
    """Answers each text by the next of its planned answers: a score, a status of HTTP, or bytes as they are."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan: dict[str, list[Any]] = {}
        self.seen: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/analyze"


class Handler(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert body["requestedAttributes"] == {"TOXICITY": {}} and body["doNotStore"] is True
        text = body["comment"]["text"]
        self.server.seen.append((text, self.headers.get("X-Goog-Api-Key")))
        plan = self.server.plan[text]
        answer = plan.pop(0) if len(plan) > 1 else plan[0]
        if answer == "hang up":
            self.connection.close()
            return
        if answer == "garbage":
            self.wfile.write(b"no HTTP at all\r\n\r\n")
            return
        status = answer if isinstance(answer, int) and not isinstance(answer, bool) else 200
        data = answer if isinstance(answer, bytes) else json.dumps(scored(answer)).encode()
        self.send_response(status)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def scored(value: Any) -> dict[str, Any]:
    return {"attributeScores": {"TOXICITY": {"summaryScore": {"value": value, "type": "PROBABILITY"}}}}


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def perspective(service: Service, **more: Any) -> tuple[Perspective, list[float]]:
    pauses: list[float] = []
    return Perspective("k3y", service.url, per_second=1e9, sleep=pauses.append, **more), pauses


def test_a_score_is_read_and_the_key_is_not_in_the_address(service: Service) -> None:
    service.plan = {"hello": [0.25]}
    scorer, _ = perspective(service)
    assert scorer("hello") == 0.25
    assert service.seen == [("hello", "k3y")]


def test_failures_that_pass_are_tried_again_with_growing_pauses(service: Service) -> None:
    service.plan = {"x": [429, 503, "hang up", "garbage", 0.5]}
    scorer, pauses = perspective(service)
    assert scorer("x") == 0.5
    assert pauses == [1.0, 2.0, 4.0, 8.0] and len(service.seen) == 5


def test_a_service_that_keeps_failing_gives_a_missing_score_not_0(service: Service) -> None:
    service.plan = {"x": [500]}
    scorer, pauses = perspective(service, attempts=3)
    assert scorer("x") is None
    assert len(service.seen) == 3 and pauses == [1.0, 2.0]
    dead = Perspective("k3y", "http://127.0.0.1:9/", attempts=2, per_second=1e9, sleep=pauses.append)
    assert dead("x") is None


@pytest.mark.parametrize("answer", [400, b"no json", b"{}", b'{"attributeScores": []}', 1.5, "0.5", None, True])
def test_an_answer_without_a_score_is_missing_and_not_asked_for_again(service: Service, answer: Any) -> None:
    service.plan = {"x": [answer]}
    scorer, _ = perspective(service)
    assert scorer("x") is None and len(service.seen) == 1
    assert scorer("  ") is None and len(service.seen) == 1


def test_a_refused_key_is_one_line_at_once(service: Service) -> None:
    service.plan = {"x": [403]}
    with pytest.raises(Failure, match=f"refuses the key in {KEY}") as caught:
        perspective(service)[0]("x")
    assert "k3y" not in str(caught.value) and len(service.seen) == 1


def test_the_quota_of_the_service_is_kept(service: Service) -> None:
    service.plan = {"x": [0.1]}
    pauses: list[float] = []
    scorer = Perspective("k", service.url, per_second=0.5, sleep=pauses.append)
    assert scorer("x") == scorer("x") == 0.1
    assert len(pauses) == 1 and 1.0 < pauses[0] <= 2.0


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "realtoxicityprompts").mkdir()
    rows = [{"prompt": {"text": f"Prompt {n}", "toxicity": None}, "continuation": {"text": "x"}} for n in range(4)]
    (tmp_path / "realtoxicityprompts" / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def run(data: Path, said: list[str], **options: Any) -> Any:
    spec = spec_of("realtoxicityprompts", options=options)
    (task,) = prepare("realtoxicityprompts", spec, Surroundings(data, say=said.append))

    def writes(request: Generate, number: int) -> list[str]:
        politely = request.context.startswith("Complete the following sentence in a polite")
        assert request.temperature == 0 and request.context.endswith(f"Prompt {request.context[-1]}")
        return [f"{'kind' if politely else 'rude'} {request.context[-1]}"]

    return ask(task, Oracle(writes=writes))


def test_basic_and_respectful_means_leave_out_what_is_missing(
    data: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "k3y")
    monkeypatch.setattr("packtrain.evaluation.toxicity_scorers.time.sleep", lambda _: None)
    monkeypatch.setattr("packtrain.evaluation.toxicity_scorers.Perspective._keep_pace", lambda _: None)
    service.plan = {f"rude {n}": [0.8] for n in range(3)} | {f"kind {n}": [0.1] for n in range(4)} | {"rude 3": [400]}
    said: list[str] = []
    scores = data / "scores.jsonl"
    found = run(data, said, url=service.url, scores=str(scores))
    assert found.figures["basic"].value == pytest.approx(0.8) and found.figures["basic"].n == 3
    assert found.figures["respectful"].value == pytest.approx(0.1) and found.figures["respectful"].n == 4
    assert said == ["realtoxicityprompts: 1 of 8 texts could not be scored: left out"]
    assert found.items[3]["basic"] is None
    service.seen.clear()
    monkeypatch.delenv(KEY)
    again = run(data, said, scorer="recorded", scores=str(scores))
    assert again.figures == found.figures and service.seen == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, f"scorer=perspective needs its key in {KEY}"),
        ({"scorer": "classifier"}, "needs classifier=FOLDER"),
        ({"scorer": "classifier", "classifier": "nowhere"}, "no config.json there"),
        ({"scorer": "recorded"}, "needs scores=FILE"),
        ({"scorer": "recorded", "scores": "nowhere.jsonl"}, "cannot be read"),
        ({"scorer": "persective"}, "did you mean 'perspective'"),
    ],
)
def test_a_scorer_without_what_it_needs_is_one_line_before_anything_runs(
    data: Path, options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY, raising=False)
    with pytest.raises(UserError, match=message) as caught:
        run(data, [], **options)
    assert "\n" not in str(caught.value)


def test_a_malformed_line_of_recorded_scores_is_named(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_text('{"text": "a", "toxicity": 0.5}\n{"text": "b", "toxicity": 7}\n{"text": "c", "toxicity": 0}\n')
    with pytest.raises(UserError, match=r"scores\.jsonl:2: "):
        read_recorded(path)
    path.write_text('{"text": "a", "toxicity": 0.5}\n{"text": "b", "tox')
    assert Recorded(str(path), None)("a") == 0.5, "the torn last line of a kill is not a mistake"


@pytest.mark.parametrize("end", ['{"text": "b", "tox', '{"text": "b\\u2028c", "toxicity": 0.25}', ""])
def test_scores_are_added_behind_whatever_end_a_file_has(tmp_path: Path, end: str) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_text('{"text": "a\u2028", "toxicity": 0.5}\n' + end)
    scorer = Recorded(str(path), lambda text: 1.0)
    assert scorer("d") == scorer("e") == 1.0
    expected = {"a\u2028": 0.5, "d": 1.0, "e": 1.0} | ({"b\u2028c": 0.25} if "0.25" in end else {})
    assert read_recorded(path) == expected


def test_any_local_classifier_scores(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "kind", "rude"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizerFast(vocab=str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
        id2label={0: "toxic", 1: "neutral"}, label2id={"toxic": 0, "neutral": 1},
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path, safe_serialization=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    with torch.inference_mode():
        expected = model(**tokenizer("rude", return_tensors="pt")).logits.softmax(-1)[0]
    assert Classifier(str(tmp_path))("rude") == pytest.approx(expected[0].item(), rel=1e-6)
    assert Classifier(str(tmp_path), "neutral")("rude") == pytest.approx(expected[1].item(), rel=1e-6)
    with pytest.raises(UserError, match="classifier_label=rude: the classifier has toxic, neutral"):
        Classifier(str(tmp_path), "rude")
