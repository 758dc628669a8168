"""How often the loss-spike detector cries wolf on healthy runs, and which planted spikes it sees

    healthy   made-up losses and gradient norms without any spike: alarms in 10 000 steps
    planted   the same with a spike every 500 steps: the share of them that was seen, and how many steps after its start

Noise is what recorded runs have, and worse. Deviations of a batch's loss: 0.5 % of it with millions of tokens a step,
5 % with some thousands (a 1m run of the quickstart: 5.3 %, kurtosis 3.8); of the logarithm of the gradient norm 0.1
(there: kurtosis 9). Student's t with 10 degrees of freedom has kurtosis 4, with 5 it is 9, with 3 infinite.
What is drawn depends on the seed alone: the same figures on every machine.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks import common
from packtrain.callbacks.loss_spike import LossSpike
from packtrain.callbacks.spike_detector import Detector

LAST, FIRST = 2.2, 10.4  # nats a token: where a run ends, and where it begins
EVERY = 500  # steps from one planted spike to the next
SEEN_WITHIN = 30  # steps
Curves = tuple[np.ndarray, np.ndarray]  # losses, gradient norms; (steps,) each


def detector() -> Detector:
    """As conf/callbacks/default.yaml has it: the callback's own default settings."""
    return LossSpike().detector


def noise(rng: np.random.Generator, steps: int, freedom: float | None) -> np.ndarray:
    """Of variance 1 where it has one: normal, or Student's t."""
    if freedom is None:
        return rng.standard_normal(steps)
    return rng.standard_t(freedom, steps) / np.sqrt(freedom / (freedom - 2))


def run(rng: np.random.Generator, steps: int, deviation: float, freedom: float | None) -> Curves:
    """A long run: loss falling as a power of the step, norms of median 0.5."""
    level = LAST + 2.0 * (1 + np.arange(steps) / 200) ** -0.5
    return level * (1 + deviation * noise(rng, steps, freedom)), 0.5 * np.exp(0.1 * noise(rng, steps, freedom))


def unlike_domains(rng: np.random.Generator, steps: int) -> Curves:
    """Eight sequences a step, of domains whose losses are 0.7, 2.2 and 4 and vary by a quarter."""
    means = rng.choice([0.7, 2.2, 4.0], size=(steps, 8), p=[0.1, 0.6, 0.3])
    losses = (means * rng.gamma(16, 1 / 16, size=means.shape)).mean(axis=1)
    return losses, 0.5 * np.exp(0.1 * noise(rng, steps, 5))


def beginnings(rng: np.random.Generator, steps: int) -> Curves:
    """The first 400 steps of a run, again and again: the loss falls from ln V while the rate warms up, norms rise
    threefold within 100 steps and fall again."""
    at = np.arange(steps) % 400
    level = LAST + 1.5 + (FIRST - LAST - 1.5) * np.exp(-at / 60)
    norms = (1 + 2 * np.clip(at / 100, 0, 1)) * np.exp(-np.clip(at - 100, 0, None) / 100)
    return level * (1 + 0.05 * noise(rng, steps, 5)), np.maximum(norms, 0.4) * np.exp(0.1 * noise(rng, steps, 5))


def mixtures(rng: np.random.Generator, steps: int) -> Curves:
    """Every 1 000 steps another mixture, whose loss is up to a third higher or lower."""
    losses, norms = run(rng, steps, 0.01, 10)
    levels = np.exp(rng.uniform(-0.3, 0.3, size=1 + steps // 1000))
    return losses * levels[np.arange(steps) // 1000], norms


def judged(curves: Curves, anew: int | None = None, resume: int | None = None) -> list[tuple[int, str]]:
    """(step, kind) of every alarm. `anew`: the window begins anew at its multiples, as at a change of the mixture;
    `resume`: at its multiples a new detector takes the window from a checkpoint's JSON."""
    found, watching = [], detector()
    for step, (loss, norm) in enumerate(zip(*(curve.tolist() for curve in curves), strict=True)):
        if anew and step % anew == 0:
            watching.forget()
        if resume and step % resume == 0:
            losses, norms = json.loads(json.dumps([[*watching.losses], [*watching.norms]]))
            watching = detector()
            watching.losses.extend(losses)
            watching.norms.extend(norms)
        if verdict := watching.judge(loss, norm):
            found.append((step, verdict.kind))
        watching.add(loss, norm)
    return found


def healthy(rng: np.random.Generator, steps: int) -> list[dict[str, Any]]:
    cases: dict[str, tuple[Curves, dict[str, int]]] = {
        "0.5 %, normal": (run(rng, steps, 0.005, None), {}),
        "0.5 %, t of 5": (run(rng, steps, 0.005, 5), {}),
        "5 %, t of 10": (run(rng, steps, 0.05, 10), {}),
        "5 %, t of 5": (run(rng, steps, 0.05, 5), {}),
        "5 %, t of 5, resumed every 77 steps": (run(rng, steps, 0.05, 5), {"resume": 77}),
        "5 %, t of 3": (run(rng, steps, 0.05, 3), {}),
        "8 sequences of unlike domains": (unlike_domains(rng, steps), {}),
        "first 400 steps, warm-up": (beginnings(rng, steps), {"anew": 400}),
        "another mixture every 1 000 steps": (mixtures(rng, steps), {"anew": 1000}),
    }
    rows = []
    for name, (curves, how) in cases.items():
        kinds = [kind for _, kind in judged(curves, **how)]
        rows.append(
            {"case": name, "steps": steps, "loss": kinds.count("loss"), "gradient_norm": kinds.count("gradient norm"),
             "alarms_in_10_000": 1e4 * len(kinds) / steps}
        )  # fmt: skip
    return rows


def planted(rng: np.random.Generator, steps: int) -> list[dict[str, Any]]:
    """`shape`: the factor of the loss, and of the norm, at each of the steps from a spike's start on."""
    climb = np.concatenate([np.linspace(1, 1.5, 11)[1:], np.linspace(1.5, 1, 11)[1:]])
    shapes: dict[str, tuple[Sequence[float], Sequence[float]]] = {
        "one step, loss × 1.15": ([1.15], [1.0]),
        "one step, loss × 1.5": ([1.5], [1.0]),
        "one step, loss × 2": ([2.0], [1.0]),
        "one step, gradient norm × 3": ([1.0], [3.0]),
        "one step, gradient norm × 10": ([1.0], [10.0]),
        "loss up to × 1.5 in ten steps and back": (climb.tolist(), [1.0] * len(climb)),
        "no number": ([np.nan], [1.0]),
    }
    rows = []
    for deviation in (0.005, 0.05):
        for name, (loss, norm) in shapes.items():
            losses, norms = run(rng, steps, deviation, 5)
            starts = range(EVERY, steps - SEEN_WITHIN, EVERY)
            for start in starts:
                losses[start : start + len(loss)] *= loss
                norms[start : start + len(norm)] *= norm
            alarms = np.array([step for step, _ in judged((losses, norms))] or [-1])
            after = [int(late.min()) for s in starts if (late := alarms[(alarms >= s)] - s).size]
            seen = [steps_later for steps_later in after if steps_later < min(SEEN_WITHIN, len(loss) + 1)]
            rows.append(
                {"case": f"{deviation:.1%}: {name}", "planted": len(starts), "seen": len(seen) / len(starts),
                 "steps_later": float(np.median(seen)) if seen else None}
            )  # fmt: skip
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    arguments = common.parse(common.parser(__doc__), argv)
    steps = 4000 if arguments.quick else 60_000
    first, second = healthy(np.random.default_rng(0), steps), planted(np.random.default_rng(1), steps // 2)
    print(common.table(first), common.table(second), sep="\n\n")
    common.write_results("loss_spike", [*first, *second], arguments, window=detector().losses.maxlen)


if __name__ == "__main__":
    main()
