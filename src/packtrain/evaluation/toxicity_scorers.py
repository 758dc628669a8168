"""text → how toxic it is, from 0 to 1, or None: it could not be scored, which is never counted as 0

perspective   the API, while it lives: it ends on 31 December 2026 and takes no new users
classifier    any sequence classifier in a local folder of Hugging Face's format
recorded      scores of an earlier day: JSON lines of {"text": …, "toxicity": …}
"""

from __future__ import annotations

import http.client
import json
import math
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from packtrain.errors import Failure, UserError

PERSPECTIVE = "https://commentanalyzer.googleapis.com/v1alpha1/comments:analyze"
KEY = "PERSPECTIVE_API_KEY"  # the environment variable, so that no key stands in a configuration
AGAIN = (408, 429, 500, 502, 503, 504)  # answers of HTTP that may be another one later
REFUSED = (401, 403)


class Scorer(Protocol):
    """Scores one text after the other."""

    def __call__(self, text: str) -> float | None: ...


class Perspective:
    """One request a text. pause: seconds before the second attempt, doubled before each further one.

    None: no answer after `attempts`, one that says the text cannot be scored, or one without a number. Raises `Failure`
    where the key is refused.
    """

    def __init__(
        self, key: str, url: str = PERSPECTIVE, attempts: int = 5, pause: float = 1.0, timeout: float = 20.0,
        per_second: float = 1.0, sleep: Callable[[float], object] = time.sleep,
    ) -> None:  # fmt: skip
        self.key, self.url, self.attempts, self.pause, self.timeout = key, url, attempts, pause, timeout
        self.interval, self.sleep, self.last = 1 / per_second, sleep, -math.inf

    def __call__(self, text: str) -> float | None:
        if not text.strip():
            return None  # the service scores no empty comment
        body = {
            "comment": {"text": text}, "languages": ["en"], "requestedAttributes": {"TOXICITY": {}}, "doNotStore": True,
        }  # fmt: skip
        request = urllib.request.Request(
            self.url, json.dumps(body).encode(), {"Content-Type": "application/json", "X-Goog-Api-Key": self.key}
        )
        for attempt in range(self.attempts):
            if attempt:
                self.sleep(self.pause * 2 ** (attempt - 1))
            self._keep_pace()
            try:
                with urllib.request.urlopen(request, timeout=self.timeout) as answer:
                    return read_score(answer.read(1 << 20))
            except urllib.error.HTTPError as error:
                if error.code in REFUSED:
                    raise Failure(f"the Perspective API refuses the key in {KEY} (HTTP {error.code})") from None
                if error.code not in AGAIN:
                    return None
            except (OSError, http.client.HTTPException):
                pass  # no connection, or it broke off
        return None

    def _keep_pace(self) -> None:
        """The service's quota is one request a second unless more was asked for."""
        wait = self.last + self.interval - time.monotonic()
        if wait > 0:
            self.sleep(wait)
        self.last = time.monotonic()


def read_score(answer: bytes) -> float | None:
    """The summary score in an answer of the service."""
    try:
        found = json.loads(answer)["attributeScores"]["TOXICITY"]["summaryScore"]["value"]
    except (ValueError, KeyError, TypeError):
        return None
    return valid(found)


def valid(found: Any) -> float | None:
    is_number = isinstance(found, (int, float)) and not isinstance(found, bool)
    return float(found) if is_number and 0 <= found <= 1 else None


class Classifier:
    """A sequence classifier of Hugging Face's format, from a local folder; its probability of `label`.

    Sigmoid for a single output and for labels that do not exclude each other, softmax else. Raises `UserError` for a
    folder that is none, or has no such label.
    """

    def __init__(self, folder: str, label: str = "toxic", device: str = "cpu") -> None:
        try:
            from transformers import AutoModelForSequenceClassification, AutoTokenizer
        except ImportError as error:
            raise UserError("scorer=classifier needs transformers: pip install transformers") from error
        if not (Path(folder) / "config.json").is_file():
            raise UserError(f"classifier={folder}: no config.json there; give the folder of a Hugging Face classifier")
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = AutoModelForSequenceClassification.from_pretrained(
                folder, local_files_only=True, use_safetensors=True
            )
        except Exception as error:
            raise UserError(f"classifier={folder}: cannot be read ({' '.join(str(error).split())[:200]})") from error
        self.model, self.device = model.eval().to(device), device
        labels = [str(model.config.id2label[number]) for number in range(model.config.num_labels)]
        if len(labels) > 1 and label not in labels:
            raise UserError(f"classifier_label={label}: the classifier has {', '.join(labels)}")
        self.place = labels.index(label) if label in labels else 0
        self.apart = len(labels) == 1 or model.config.problem_type == "multi_label_classification"

    def __call__(self, text: str) -> float | None:
        import torch

        with torch.inference_mode():
            inputs = self.tokenizer(text, return_tensors="pt", truncation=True).to(self.device)
            logits = self.model(**inputs).logits[0].float()
        shares = logits.sigmoid() if self.apart else logits.softmax(-1)
        return valid(shares[self.place].item())


class Recorded:
    """Scores in a file, under their texts; `scorer` is asked for those not there, and its scores are appended."""

    def __init__(self, path: str | None, scorer: Scorer | None) -> None:
        self.path, self.scorer, self.begun = Path(path) if path else None, scorer, False
        self.known = read_recorded(self.path) if self.path and (self.path.exists() or not scorer) else {}

    def __call__(self, text: str) -> float | None:
        if text not in self.known:
            found = self.scorer(text) if self.scorer else None
            if found is None:
                return None
            self.known[text] = found
            if self.path:
                append(self.path, text, found, self.begun)
                self.begun = True
        return self.known[text]


def append(path: Path, text: str, score: float, begun: bool) -> None:
    """One more line. begun: not the first one of this process, so that the end of the file is known to be whole."""
    try:
        with open(path, "a+b") as file:
            if not begun:
                file.seek(0)
                last = file.read().rpartition(b"\n")[2]
                if last and told(last.decode("utf-8", "replace")) is None:
                    file.truncate(file.tell() - len(last))  # torn by a kill
                elif last:
                    file.write(b"\n")
            file.write(json.dumps({"text": text, "toxicity": score}).encode() + b"\n")
    except OSError as error:
        raise Failure(f"could not write {path}: {error.strerror or error}") from error


def told(line: str) -> tuple[Any, float | None] | None:
    """The text and the score of a line; None where it is no JSON object with both."""
    try:
        row = json.loads(line)
        return row["text"], valid(row["toxicity"])
    except (ValueError, KeyError, TypeError):
        return None


def read_recorded(path: Path) -> dict[str, float]:
    """Raises `UserError` for a file that is not there, and for a line that is no score, with its number."""
    found = {}
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # no other character ends a line
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"scores={path}: cannot be read; give a file of JSON lines with text and toxicity") from error
    for number, line in enumerate(lines, 1):
        text, score = told(line) or (None, None)
        if not isinstance(text, str) or score is None:
            if number == len(lines) and text is None:
                continue  # nothing, or torn by a kill
            raise UserError(f'{path}:{number}: no {{"text": …, "toxicity": 0 to 1}}; mend or remove the line')
        found[text] = score
    return found


def make_scorer(kind: str, scores: str | None, classifier: str | None, label: str, device: str, url: str) -> Scorer:
    """The scorer of that name. Raises `UserError` where it lacks what it needs."""
    if kind == "perspective":
        key = os.environ.get(KEY)
        if not key:
            raise UserError(
                f"scorer=perspective needs its key in {KEY}; else take scorer=classifier classifier=FOLDER, or "
                "scorer=recorded scores=FILE"
            )
        return Recorded(scores, Perspective(key, url))
    if kind == "classifier":
        if not classifier:
            raise UserError("scorer=classifier needs classifier=FOLDER, a sequence classifier of Hugging Face's format")
        return Recorded(scores, Classifier(classifier, label, device))
    if not scores:
        raise UserError("scorer=recorded needs scores=FILE, JSON lines of text and toxicity")
    return Recorded(scores, None)
