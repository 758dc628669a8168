"""a problem → a solution, greedy → its final answer: exact_match;   k solutions by chance → the most frequent: maj1@k

An answer that cannot be found is wrong, and does not vote.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from packtrain.errors import UserError
from packtrain.evaluation.answers import final_formula, final_number, majority
from packtrain.evaluation.latex_answers import equivalent
from packtrain.evaluation.tasks.requests import Answer, Completions, Generate, Item, Request
from packtrain.evaluation.tasks.scoring import Figure, Kept, Scoring, Surroundings, mean
from packtrain.evaluation.tasks.spec import TaskSpec

MAJORITY = "maj1@k"


@dataclass(frozen=True)
class Options:
    """answer: a number (GSM8k) or a formula in LaTeX (MATH).  majority: k, the solutions that vote; 0: none are drawn.
    temperature, top_p: of those (Lewkowycz et al., 2022, whose protocol the paper follows)."""

    answer: Literal["number", "formula"]
    max_tokens: int = 512
    stop: tuple[str, ...] = ()
    majority: int = 0
    temperature: float = 0.6
    top_p: float = 0.95

    def __post_init__(self) -> None:
        if self.majority < 0:
            raise UserError(f"majority={self.majority}: expected the number of solutions that vote, or 0")


class Mathematics(Scoring):
    """The rows have `solution`, worked out, with the final answer behind #### or in \\boxed{…}."""

    Options = Options
    needs = ("solution",)

    def __init__(self, name: str, spec: TaskSpec, around: Surroundings) -> None:
        super().__init__(name, spec, around)
        self.metrics = ("exact_match", *([MAJORITY] if self.options.majority else []))

    def requests(self, item: Item) -> Sequence[Request]:
        options: Options = self.options
        if self._read(str(item.row.get("solution", ""))) is None:
            raise UserError(
                f"{item.row.get('_place', self.name)}: 'solution' has no final answer; mend or remove the row"
            )
        asked = [Generate(item.context, options.stop, options.max_tokens)]
        if options.majority:
            asked.append(
                Generate(
                    item.context, options.stop, options.max_tokens, options.majority, options.temperature, options.top_p
                )
            )
        return asked

    def score(self, item: Item, answers: Sequence[Answer]) -> Kept:
        texts = [list(answer.texts) for answer in answers if isinstance(answer, Completions)]
        gold = self._read(str(item.row["solution"]))
        said = self._read(texts[0][0])
        kept: Kept = {"gold": gold, "text": texts[0][0], "answer": said, "exact_match": self._right(said, gold)}
        if len(texts) > 1:
            votes = [self._read(text) for text in texts[1]]
            winner = majority(votes, self._alike)
            kept |= {"votes": votes, "majority": winner, MAJORITY: self._right(winner, gold)}
        return kept

    def figures(self, items: Sequence[Kept]) -> dict[str, Figure]:
        return {name: mean(kept[name] for kept in items) for name in self.metrics}

    def _read(self, text: str) -> str | None:
        return final_number(text) if self.options.answer == "number" else final_formula(text)

    @property
    def _alike(self) -> Callable[[str, str], bool]:
        return str.__eq__ if self.options.answer == "number" else equivalent

    def _right(self, said: str | None, gold: str | None) -> bool:
        return said is not None and gold is not None and self._alike(said, gold)
