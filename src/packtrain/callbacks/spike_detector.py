"""losses and gradient norms of the last steps → is this one out of line? medians and their absolute deviations

A spike raises the mean and the standard deviation of the window that it is compared with, and hides the next; half the
window must go wrong before a median moves. Deviation = 1.4826 · median |x − median|, the standard deviation where x is
normal (Rousseeuw and Croux, 1993), and never less than a share of the median, so that a calm run is not all spikes.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

LOSS_FLOOR = 0.01  # of the median loss
NORM_FLOOR = 0.2  # of the logarithm: a fifth up or down


@dataclass(frozen=True)
class Verdict:
    """`kind` is `not finite`, `loss` or `gradient norm`; `why` is a whole sentence."""

    kind: str
    why: str
    median: float | None = None
    deviations: float | None = None


class Detector:
    """`judge` a step, then `add` it. Nothing but what is no number is out of line before `least` steps were added."""

    def __init__(self, window: int, threshold: float, least: int) -> None:
        self.threshold, self.least = threshold, least
        self.losses: deque[float] = deque(maxlen=window)
        self.norms: deque[float] = deque(maxlen=window)  # their logarithms: norms vary by factors

    def judge(self, loss: float, norm: float) -> Verdict | None:
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return Verdict("not finite", f"loss {loss:g}, gradient norm {norm:g}")
        if len(self.losses) < self.least:
            return None
        median, away = deviations(loss, self.losses, share=LOSS_FLOOR)
        if away > self.threshold:
            why = f"loss {loss:.4f} is {away:.1f} deviations above the median {median:.4f} of {len(self.losses)} steps"
            return Verdict("loss", why, median, away)
        median, away = deviations(_log(norm), self.norms, floor=NORM_FLOOR)
        if away > self.threshold:
            middle = math.exp(median)
            times = f"{norm / middle:.1f} times the median {middle:.3g} of {len(self.norms)} steps"
            why = f"gradient norm {norm:.3g} is {times}"
            return Verdict("gradient norm", why, middle, away)
        return None

    def add(self, loss: float, norm: float) -> None:
        """Spikes are added, too: a level that stays is no spike. What is no number is left out."""
        if math.isfinite(loss) and math.isfinite(norm):
            self.losses.append(loss)
            self.norms.append(_log(norm))

    def forget(self) -> None:
        """Begin anew, `least` steps blind: what comes is drawn otherwise, and its level is another."""
        self.losses.clear()
        self.norms.clear()


def deviations(
    value: float, window: Sequence[float] | deque[float], floor: float = 0.0, share: float = 0.0
) -> tuple[float, float]:
    """(median, how many deviations `value` is above it); one is at least `floor`, and `share` of the median."""
    median = statistics.median(window)
    spread = 1.4826 * statistics.median([abs(x - median) for x in window])
    return median, (value - median) / max(spread, floor, share * abs(median), 1e-12)


def _log(norm: float) -> float:
    return math.log(max(norm, 1e-30))
