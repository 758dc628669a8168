"""Answerers in the place of a model: one that knows the gold answer, others with planted tastes"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from packtrain.evaluation.tasks.requests import Answer, Completions, Generate, Likelihood, Request, Scored
from packtrain.evaluation.tasks.runner import Prepared, TaskResult, compute, result


class Oracle:
    """`likes` gives the log-likelihood of a request, `writes` its texts."""

    def __init__(
        self,
        likes: Callable[[Likelihood], float] = lambda request: 0.0,
        writes: Callable[[Generate, int], Sequence[str]] = lambda request, number: [""] * request.n,
    ) -> None:
        self.likes, self.writes = likes, writes

    def answer(self, requests: Sequence[Request], numbers: Sequence[int]) -> list[Answer]:
        return [
            Scored(self.likes(request), max(1, len(request.continuation.split())))
            if isinstance(request, Likelihood)
            else Completions(tuple(self.writes(request, number)))
            for request, number in zip(requests, numbers, strict=True)
        ]


def ask(task: Prepared, oracle: Oracle) -> TaskResult:
    """A whole task, without a job around it."""
    return result(task, {line["index"]: line for line in compute(task, oracle, task.items)}, "oracle")
