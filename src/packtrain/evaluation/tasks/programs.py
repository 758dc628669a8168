"""a task of programming → n programs by chance → each run with its tests in a sandbox → c of n pass → pass@k

What a model writes is run only when `allow_code_execution` says so, and only where the sandbox holds it; the programs
are run when all of them are there, once, by the first rank.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tqdm import tqdm

from packtrain.errors import UserError
from packtrain.evaluation.pass_at_k import pass_at_k
from packtrain.evaluation.sandbox.run import Limits, held_by, run_programs
from packtrain.evaluation.tasks.requests import Answer, Completions, Generate, Item, Request
from packtrain.evaluation.tasks.scoring import Figure, Kept, Scoring, Surroundings, mean
from packtrain.evaluation.tasks.spec import TaskSpec
from packtrain.evaluation.tasks.template import Absent, fill, parse

COMPLETION = "{completion}"


@dataclass(frozen=True)
class Draw:
    """`n` programs an item, of which pass@k is estimated."""

    k: int
    n: int
    temperature: float
    top_p: float = 1.0

    def __post_init__(self) -> None:
        pass_at_k(self.n, 0, self.k)  # refuses k > n


@dataclass(frozen=True)
class Options:
    """program: a template of what is run: the row's fields, and `{completion}` once.  limits: of one program."""

    program: str
    draws: tuple[Draw, ...]
    max_tokens: int = 512
    stop: tuple[str, ...] = ()
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if self.program.count(COMPLETION) != 1:
            raise UserError(f"options.program: expected {COMPLETION} in it, once")
        parse(self.program)
        if len({draw.k for draw in self.draws}) != len(self.draws) or not self.draws:
            raise UserError("options.draws: expected one or more, each with a k of its own")


class Programs(Scoring):
    """pass@k for each of `options.draws`."""

    Options = Options

    def __init__(self, name: str, spec: TaskSpec, around: Surroundings) -> None:
        super().__init__(name, spec, around)
        if not around.allow_code_execution:
            raise UserError(
                f"task {name} runs programs that the model wrote, in a sandbox: allow it with allow_code_execution=true"
            )
        held_by()
        self.metrics = tuple(f"pass@{draw.k}" for draw in self.options.draws)

    def requests(self, item: Item) -> Sequence[Request]:
        options: Options = self.options
        self._frame(item)
        return [
            Generate(item.context, options.stop, options.max_tokens, draw.n, draw.temperature, draw.top_p)
            for draw in options.draws
        ]

    def score(self, item: Item, answers: Sequence[Answer]) -> Kept:
        before, after = self._frame(item)
        texts = [list(answer.texts) for answer in answers if isinstance(answer, Completions)]
        return {"before": before, "after": after, "programs": texts}

    def finish(self, items: list[Kept]) -> list[Kept]:
        """Runs each different program once."""
        sources = [
            [[kept["before"] + text + kept["after"] for text in texts] for texts in kept["programs"]] for kept in items
        ]
        different = list(dict.fromkeys(source for item in sources for texts in item for source in texts))
        self.around.say(f"{self.name}: {len(different)} programs to run, held by {held_by()} and seccomp")
        found = run_programs(different, self.options.limits)
        shown = tqdm(
            found, desc=f"run {self.name}", total=len(different), unit="program", leave=False,
            disable=not sys.stderr.isatty(),
        )  # fmt: skip
        outcomes = dict(zip(different, shown, strict=True))
        return [
            kept
            | {
                "passed": [[outcomes[source].passed for source in texts] for texts in item],
                "why": next((outcomes[s].why for texts in item for s in texts if not outcomes[s].passed), ""),
            }
            for kept, item in zip(items, sources, strict=True)
        ]

    def figures(self, items: Sequence[Kept]) -> dict[str, Figure]:
        found = {}
        for number, (name, draw) in enumerate(zip(self.metrics, self.options.draws, strict=True)):
            passed = [kept["passed"][number] for kept in items]
            found[name] = mean(pass_at_k(len(each), sum(each), draw.k) for each in passed)
        return found

    def _frame(self, item: Item) -> tuple[str, str]:
        """What stands before and behind the completion."""
        try:
            before, after = (fill(part, item.row) for part in self.options.program.split(COMPLETION))
        except Absent as error:
            place = item.row.get("_place", f"row {item.index}")
            raise UserError(
                f"task {self.name}: {place} has no '{error.args[0]}', which options.program names"
            ) from None
        return before, after
