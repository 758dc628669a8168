"""(parameters, tokens, loss) of several runs → the five constants of L(N, D), with intervals by bootstrap

For given exponents the law is linear in E, A and B: they are solved exactly on a grid of (α, β), and the grid is
refined around its best. Residuals are relative to the loss. No start values, no library but numpy, the same answer
every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from packtrain.errors import UserError
from packtrain.estimate.scaling import Law

NAMES = ("E", "A", "B", "alpha", "beta")
LOWEST, HIGHEST, POINTS = 0.02, 1.5, 45


@dataclass(frozen=True)
class Point:
    """One trained model: N parameters, D tokens, its loss in nats a token."""

    parameters: float
    tokens: float
    loss: float


@dataclass(frozen=True)
class SweepFit:
    """`intervals`: name → 5th and 95th percentile over the bootstrap. `error`: root mean square, relative.

    `resampled`: the laws of the bootstrap, one for each draw of the runs that determines one.
    """

    law: Law
    error: float
    intervals: dict[str, tuple[float, float]]
    resampled: tuple[Law, ...]

    def predict(self, parameters: float, tokens: float) -> tuple[float, float, float]:
        """The loss after training N = `parameters` on D = `tokens`: by the law, and 5th and 95th percentile."""
        import numpy

        law = self.law.loss(parameters, tokens)
        found = [one.loss(parameters, tokens) for one in self.resampled] or [law]
        low, high = numpy.percentile(found, (5, 95))
        return law, float(low), float(high)

    @property
    def undetermined(self) -> list[str]:
        """Constants that ended where the search ends: exponents at its edges, E at nothing: not told by the runs."""
        at_edge = [n for n in ("alpha", "beta") if not LOWEST * 1.01 < getattr(self.law, n) < HIGHEST * 0.99]
        return (["E"] if self.law.E < 0.01 else []) + at_edge


def fit_law(points: Sequence[Point], resamples: int = 200, seed: int = 0) -> SweepFit:
    """Fits all five constants. `UserError` where the runs cannot tell them: too few, or of one size or length."""
    sizes, lengths = len({p.parameters for p in points}), len({p.tokens for p in points})
    if len(points) < 6 or sizes < 3 or lengths < 3:
        raise UserError(
            f"{len(points)} runs of {sizes} sizes and {lengths} lengths do not determine five constants: give at least "
            "6 finished runs of 3 sizes and 3 numbers of tokens, e.g. packtrain train -m model=1m,5m,15m "
            "data.tokens=20000000,40000000,80000000"
        )
    import numpy

    data = numpy.array([(p.parameters, p.tokens, p.loss) for p in points], dtype=float)
    best, error = _best(data)
    if best is None:
        raise UserError("no law fits these runs: longer runs and larger models must reach a lower loss")
    draw = numpy.random.default_rng(seed)
    found = []
    for _ in range(resamples):
        chosen = data[draw.integers(0, len(data), len(data))]
        if len({*chosen[:, 0]}) >= 3 and len({*chosen[:, 1]}) >= 3:
            values, _ = _best(chosen, rounds=3)
            if values is not None:
                found.append(values)
    edges = numpy.percentile(found, (5, 95), axis=0) if found else numpy.array([best, best])
    intervals = {name: (float(edges[0][i]), float(edges[1][i])) for i, name in enumerate(NAMES)}
    source = f"fitted to {len(points)} runs"
    law, *resampled = (Law(*(float(v) for v in values), source=source) for values in (best, *found))
    return SweepFit(law, error, intervals, tuple(resampled))


def _best(data: Any, rounds: int = 6) -> tuple[Any, float]:
    """(E, A, B, α, β) with the least squares, and the root mean square; (None, inf) where none fits."""
    import numpy

    low, high = numpy.array([LOWEST, LOWEST]), numpy.array([HIGHEST, HIGHEST])
    best, least = None, float("inf")
    for _ in range(rounds):
        alphas, betas = (numpy.linspace(low[i], high[i], POINTS) for i in (0, 1))
        grid = numpy.array([(a, b) for a in alphas for b in betas])
        constants, squares = _linear(data, grid)
        i = int(numpy.argmin(squares))
        if not numpy.isfinite(squares[i]):
            return None, float("inf")
        if squares[i] <= least:
            best, least = numpy.array([*constants[i], *grid[i]]), float(squares[i])
        width = (high - low) / (POINTS - 1) * 3
        low, high = numpy.maximum(best[3:] - width, LOWEST), numpy.minimum(best[3:] + width, HIGHEST)
    return best, (least / len(data)) ** 0.5


def _linear(data: Any, grid: Any) -> tuple[Any, Any]:
    """For each (α, β): the best E, A, B and the sum of squares; infinite where A or B is not positive or E negative."""
    import numpy

    N, D, L = data.T
    n0, d0 = (
        numpy.exp(numpy.log(N).mean()),
        numpy.exp(numpy.log(D).mean()),
    )  # columns of order 1
    x = (N[None, :] / n0) ** -grid[:, :1]
    y = (D[None, :] / d0) ** -grid[:, 1:]
    columns = numpy.stack([numpy.ones_like(x), x, y], axis=-1) / L[None, :, None]  # (grid, runs, 3), relative
    normal = columns.transpose(0, 2, 1) @ columns + 1e-12 * numpy.eye(3)
    right = columns.sum(axis=1)  # relative: the target is one everywhere
    values = numpy.linalg.solve(normal, right[..., None])[..., 0]
    squares = (((columns @ values[..., None])[..., 0] - 1.0) ** 2).sum(axis=1)
    bad = (values[:, 0] < 0) | (values[:, 1] <= 0) | (values[:, 2] <= 0)
    squares = numpy.where(bad, numpy.inf, squares)
    values[:, 1] *= n0 ** grid[:, 0]
    values[:, 2] *= d0 ** grid[:, 1]
    return values, squares
