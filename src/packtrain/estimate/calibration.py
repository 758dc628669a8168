"""published runs → the three constants of the speed model, by least squares; each row predicted without itself

The residual of a row is ln(predicted / published), so that a tenth too fast and a tenth too slow weigh alike, and a
small model as much as a large one. Gauss–Newton with Levenberg's damping; three unknowns need no library.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from packtrain.estimate.published import CALIBRATION, Run
from packtrain.estimate.speed import FITTED, Constants, step_time

LIMITS = (0.05, 1.0)  # of every constant: they are shares


@dataclass(frozen=True)
class Residual:
    """One row beside its prediction. `error` is predicted / published − 1."""

    run: Run
    predicted: float

    @property
    def error(self) -> float:
        return self.predicted / self.run.tokens_per_second - 1


def fit(runs: Sequence[Run], start: Constants = FITTED) -> Constants:
    """The constants with the least sum of squared residuals over `runs`."""

    def residuals(values: Sequence[float]) -> list[float]:
        return [math.log(predict(run, Constants(*values)) / run.tokens_per_second) for run in runs]

    return Constants(*least_squares(residuals, (start.ampere, start.hopper, start.exposed)))


def predict(run: Run, constants: Constants = FITTED) -> float:
    """Tokens/s per GPU of a published run."""
    return step_time(run.model, run.setup, constants).tokens_per_second


def leave_one_out(runs: Sequence[Run] = CALIBRATION) -> list[Residual]:
    """Every row predicted with constants fitted to the other rows."""
    return [Residual(run, predict(run, fit([other for other in runs if other is not run]))) for run in runs]


def leave_source_out(runs: Sequence[Run] = CALIBRATION) -> list[Residual]:
    """Every row predicted with constants fitted to the rows of other sources alone, where those see its generation."""
    found = []
    for run in runs:
        others = [other for other in runs if other.source != run.source]
        if any(other.setup.gpu.generation == run.setup.gpu.generation for other in others):
            found.append(Residual(run, predict(run, fit(others))))
    return found


def least_squares(
    residuals: Callable[[Sequence[float]], list[float]], start: Sequence[float], limits: tuple[float, float] = LIMITS
) -> list[float]:
    """The values near `start` that minimise Σ residual², each kept within `limits`."""
    values, damping, width = list(start), 1e-3, len(start)
    errors = residuals(values)
    for _ in range(100):
        slopes = []  # (values, rows)
        for i in range(width):
            moved = [v + 1e-5 * (j == i) for j, v in enumerate(values)]
            slopes.append([(b - a) / 1e-5 for a, b in zip(errors, residuals(moved), strict=True)])
        normal = [
            [sum(a * b for a, b in zip(slopes[i], slopes[j], strict=True)) + damping * (i == j) for j in range(width)]
            for i in range(width)
        ]
        right = [-1.0 * sum(a * b for a, b in zip(slopes[i], errors, strict=True)) for i in range(width)]
        step = solve(normal, right)
        trial = [min(limits[1], max(limits[0], v + d)) for v, d in zip(values, step, strict=True)]
        found = residuals(trial)
        if sum(e * e for e in found) < sum(e * e for e in errors):
            done = max(abs(a - b) for a, b in zip(trial, values, strict=True)) < 1e-7
            values, errors, damping = trial, found, damping / 3
            if done:
                break
        else:
            damping *= 4
            if damping > 1e9:
                break
    return values


def solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """x of matrix · x = right, by elimination with pivots."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    size = len(rows)
    for i in range(size):
        pivot = max(range(i, size), key=lambda r: abs(rows[r][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for r in range(i + 1, size):
            factor = rows[r][i] / rows[i][i]
            rows[r] = [a - factor * b for a, b in zip(rows[r], rows[i], strict=True)]
    found = [0.0] * size
    for i in reversed(range(size)):
        found[i] = (rows[i][size] - sum(rows[i][j] * found[j] for j in range(i + 1, size))) / rows[i][i]
    return found
