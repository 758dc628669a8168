"""the likelihood of every choice → the likeliest, by each of the ways to weigh long against short → accuracy

acc         ln p(choice | prompt)
acc_char    the same ÷ characters of the choice        the paper's, and lm-eval's acc_norm
acc_token   the same ÷ its tokens
acc_byte    the same ÷ its UTF-8 bytes
acc_answer  ln p(choice | prompt) − ln p(choice | "Answer:")    the paper's for OpenBookQA and BoolQ (Brown et al.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from packtrain.errors import UserError
from packtrain.evaluation.tasks.requests import Answer, Item, Likelihood, Request, Scored
from packtrain.evaluation.tasks.scoring import Figure, Kept, Scoring, Surroundings, mean
from packtrain.evaluation.tasks.spec import TaskSpec
from packtrain.evaluation.tasks.template import Absent, fill, parse

WAYS: dict[str, Callable[[Kept], list[float]]] = {
    "acc": lambda kept: kept["likelihoods"],
    "acc_char": lambda kept: _each(kept["likelihoods"], kept["chars"]),
    "acc_token": lambda kept: _each(kept["likelihoods"], kept["tokens"]),
    "acc_byte": lambda kept: _each(kept["likelihoods"], kept["bytes"]),
    "acc_answer": lambda kept: [a - b for a, b in zip(kept["likelihoods"], kept["unconditional"], strict=True)],
}


@dataclass(frozen=True)
class Options:
    """context, continuation: templates over the row and `prompt`, `choice` (the text), `label`.

    unconditional: the context of the second likelihood that acc_answer divides by; None asks for none.
    by: a field whose values get figures of their own.  groups: name → values of `by` whose items it puts together.
    """

    context: str = "{prompt}"
    continuation: str = " {choice}"
    unconditional: str | None = None
    by: str | None = None
    groups: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for template in (self.context, self.continuation):
            parse(template)


class Choice(Scoring):
    """Multiple choice. The rows have `choices`, `gold`, and where a template names them `labels`."""

    Options = Options
    needs = ("choices", "gold")

    def __init__(self, name: str, spec: TaskSpec, around: Surroundings) -> None:
        super().__init__(name, spec, around)
        if spec.metric == "acc_answer" and self.options.unconditional is None:
            raise UserError(f"tasks.{name}.metric=acc_answer needs options.unconditional, such as 'Answer:'")
        self.metrics = tuple(self._ways())

    def _ways(self) -> dict[str, Callable[[Kept], list[float]]]:
        plain = self.options.unconditional is None
        return {name: way for name, way in WAYS.items() if name != "acc_answer" or not plain}

    def requests(self, item: Item) -> Sequence[Request]:
        options: Options = self.options
        rows = [item.row | {"prompt": item.context} | more for more in choices_of(item.row)]
        try:
            pairs = [(fill(options.context, row), fill(options.continuation, row)) for row in rows]
        except Absent as error:
            place = item.row.get("_place", f"row {item.index}")
            raise UserError(f"task {self.name}: {place} has no '{error.args[0]}', which a template names") from None
        asked = [Likelihood(context, continuation) for context, continuation in pairs]
        if options.unconditional is not None:
            asked += [Likelihood(options.unconditional, continuation) for _, continuation in pairs]
        return asked

    def score(self, item: Item, answers: Sequence[Answer]) -> Kept:
        found = [answer for answer in answers if isinstance(answer, Scored)]
        n = len(item.row["choices"])
        choices = [r.continuation.lstrip(" ") for r in item.requests[:n] if isinstance(r, Likelihood)]
        kept: dict[str, Any] = {
            "gold": item.row["gold"],
            "likelihoods": [answer.log_likelihood for answer in found[:n]],
            "tokens": [answer.tokens for answer in found[:n]],
            "chars": [len(choice) for choice in choices],
            "bytes": [len(choice.encode()) for choice in choices],
        }
        if len(found) > n:
            kept["unconditional"] = [answer.log_likelihood for answer in found[n:]]
        if self.options.by:
            kept["by"] = str(item.row[self.options.by])
        return kept

    def figures(self, items: Sequence[Kept]) -> dict[str, Figure]:
        found = {name: mean(is_right(way, kept) for kept in items) for name, way in self._ways().items()}
        main = WAYS[self.spec.metric]
        if self.options.by:
            parts: dict[str, list[str]] = dict(self.options.groups)
            parts |= {value: [value] for value in sorted({kept["by"] for kept in items})}
            for name, values in parts.items():
                members = [kept for kept in items if kept["by"] in values]
                if members:
                    found[name] = mean(is_right(main, kept) for kept in members)
        return found


def choices_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    """What is different in the row's templates for each choice."""
    labels = row.get("labels") or [None] * len(row["choices"])
    if len(labels) != len(row["choices"]):
        raise UserError(f"{row.get('_place', 'a row')}: {len(labels)} labels for {len(row['choices'])} choices")
    pairs = zip(row["choices"], labels, strict=True)
    return [{"choice": choice} | ({} if label is None else {"label": label}) for choice, label in pairs]


def is_right(way: Callable[[Kept], list[float]], kept: Kept) -> bool:
    """Whether the gold choice is the best; of equal ones the first counts."""
    values = way(kept)
    return values.index(max(values)) == kept["gold"]


def _each(values: Sequence[float], counts: Sequence[int]) -> list[float]:
    return [value / max(1, count) for value, count in zip(values, counts, strict=True)]
