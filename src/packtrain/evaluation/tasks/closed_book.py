"""a question → greedy text → its first line → one of the listed answers? → exact match (paper, appendix A)

exact_match       the answer ends at the line break, a comma or a full stop
exact_match_line  all of the first line is the answer
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from packtrain.errors import UserError
from packtrain.evaluation.answers import exact_line, exact_match
from packtrain.evaluation.tasks.requests import Answer, Completions, Generate, Item, Request
from packtrain.evaluation.tasks.scoring import Figure, Kept, Scoring, mean


@dataclass(frozen=True)
class Options:
    """max_tokens: of an answer, which ends at the first of `stop` anyway."""

    max_tokens: int = 32
    stop: tuple[str, ...] = ("\n",)


class ClosedBook(Scoring):
    """The rows have `answers`, all those that count."""

    Options = Options
    needs = ("answers",)
    metrics = ("exact_match", "exact_match_line")

    def requests(self, item: Item) -> Sequence[Request]:
        found = item.row.get("answers")
        if not isinstance(found, list) or not found:
            raise UserError(
                f"{item.row.get('_place', self.name)}: 'answers' is no list of answers; mend or remove the row"
            )
        return [Generate(item.context, self.options.stop, self.options.max_tokens)]

    def score(self, item: Item, answers: Sequence[Answer]) -> Kept:
        (answer,) = answers
        assert isinstance(answer, Completions)
        text, wanted = answer.texts[0], [str(one) for one in item.row["answers"]]
        return {
            "text": text,
            "exact_match": exact_match(text, wanted),
            "exact_match_line": exact_line(text, wanted),
        }

    def figures(self, items: Sequence[Kept]) -> dict[str, Figure]:
        return {name: mean(kept[name] for kept in items) for name in self.metrics}
