"""units ─those not finished→ executor ─lost ones again→ … → all finished, or one line naming the unit

A unit may be lost: its process dies, hangs, or cannot read a file. It is tried `retries` times more. What still cannot
be made then ends the work (on_error=stop), or what it stumbled over is left out, named and counted (on_error=skip).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from packtrain.data.units import Unreadable, Work, told_error
from packtrain.errors import Failure, UserError


@dataclass(frozen=True)
class Rules:
    """What becomes of a unit that is lost. timeout: seconds without a document; then a worker is said to hang."""

    on_error: Literal["skip", "stop"] = "skip"
    retries: int = 2
    timeout: float = 600.0

    def check(self, prefix: str) -> None:
        """Raises `UserError` naming the setting below `prefix`."""
        if self.retries < 0:
            raise UserError(f"{prefix}.retries={self.retries}: expected 0 or more")
        if not self.timeout > 0:
            raise UserError(f"{prefix}.timeout={self.timeout}: expected seconds, more than 0")


class Executor(Protocol):
    """Where units are made: in processes of this machine, or on many machines."""

    def run(
        self, work: Work, todo: Sequence[int], weights: Sequence[int], what: str, rules: Rules
    ) -> Mapping[int, str]:
        """Tries each unit of `todo` once and returns why those that were lost are.

        weights: of all units, for the progress bar named `what`. Raises what a unit raised that is no bad luck.
        """
        ...


def complete(work: Work, weights: Sequence[int], what: str, executor: Executor, rules: Rules) -> None:
    """Makes every unit that is not finished. Raises `Failure` where one cannot be made and may not be left out."""
    tries: Counter[int] = Counter()
    while todo := [unit for unit in range(len(weights)) if not work.finished(unit)]:
        work.place.clear()
        lost = executor.run(work, todo, weights, what, rules)
        for unit in todo:
            if work.finished(unit):
                continue
            error = told_error(work, unit)
            if error is not None and not isinstance(error, Unreadable):
                raise error
            reason = lost.get(unit) or str(error or "its process ended and left nothing")
            tries[unit] += 1
            if tries[unit] <= rules.retries:
                continue
            if rules.on_error == "skip" and work.leave_out(unit, reason):
                tries[unit] = 0
                continue
            again = f"tried {tries[unit]} times; mend the cause and run the same command again, which goes on from here"
            raise Failure(f"{work.describe(unit)}: {reason} ({again})")
