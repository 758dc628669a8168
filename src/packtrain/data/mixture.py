"""sample number g → (domain, epoch, block): a pure function, so a resume needs one integer and no loader state

    g ─÷ 10 000→ window w, place ─order of w→ domain d, its k-th ─w·n_d + k→ count ─÷ blocks→ epoch, position
      ─Feistel(seed, d, epoch)→ block

Each window of 10 000 samples holds every domain exactly n_d times, so a domain is repeated as often as its weight asks
and none restarts because another ended (LLaMA, section 2.1: Wikipedia 2.45 epochs beside CommonCrawl 1.10).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from packtrain.data.permutation import invert, key_of, permute, uniform
from packtrain.errors import UserError

WINDOW = 10_000
CACHED_WINDOWS = 8
Ints = npt.NDArray[np.int64]


def normalise(weights: Mapping[str, float], say: Callable[[str], None] = print) -> dict[str, float]:
    """Weights without the zeros, summing to one; one line is said where they did not. Order is kept."""
    for domain, weight in weights.items():
        if not weight >= 0:
            raise UserError(f"data.weights.{domain}={weight}: expected 0 or more")
    total = sum(weights.values())
    if not 0 < total < float("inf"):
        raise UserError("data.weights: every weight is 0; give at least one domain a positive weight")
    if abs(total - 1.0) > 1e-6:
        say(f"data.weights sum to {total:g}; normalised to one")
    return {domain: weight / total for domain, weight in weights.items() if weight > 0}


def quotas(weights: Mapping[str, float], window: int = WINDOW) -> dict[str, int]:
    """Samples of each domain in a window: largest remainders, at least one for every positive weight."""
    shares = {domain: weight * window for domain, weight in normalise(weights, lambda _: None).items()}
    counts = {domain: max(1, int(share)) for domain, share in shares.items()}
    by_remainder = sorted(shares, key=lambda domain: counts[domain] - shares[domain])
    for i in range(window - sum(counts.values())):
        counts[by_remainder[i % len(by_remainder)]] += 1
    while sum(counts.values()) > window:  # many tiny weights were raised to one: the largest domain pays
        counts[max(counts, key=lambda domain: counts[domain])] -= 1
    return counts


def unique_blocks(
    tokens: int | None, sequence_length: int, weights: Mapping[str, float], blocks: Mapping[str, int]
) -> dict[str, int] | None:
    """How many blocks of each domain `data.unique_tokens` leaves, by weight; None where it leaves all."""
    if tokens is None:
        return None
    unique = {name: max(1, round(tokens / sequence_length * weights.get(name, 0.0))) for name in blocks}
    for name, n in unique.items():
        if n > blocks[name]:
            raise UserError(
                f"data.unique_tokens={tokens}: {n} sequences of domain '{name}' are wanted and it has {blocks[name]}; "
                "lower it, or its weight"
            )
    return unique


class Mixture:
    """The weighted mixture of `blocks` per domain, without end.

    weights: domain → proportion; blocks: domain → number of blocks (all domains of positive weight must be there);
    drawn: domain → samples of it that were drawn before, where this mixture follows another (`phases.py`).
    unique: domain → how many of its blocks there are to be, chosen by the seed and then repeated; none: all.
    `domains` lists the domains of positive weight; a domain's index is its place in that list.
    Memory: a few windows of 10 000 orders; time: about 1 µs a sample when asked in order.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        blocks: Mapping[str, int],
        seed: int,
        drawn: Mapping[str, int] | None = None,
        unique: Mapping[str, int] | None = None,
    ) -> None:
        self.quotas = quotas(weights)
        self.domains = tuple(self.quotas)
        for domain in self.domains:
            if blocks.get(domain, 0) < 1:
                raise UserError(
                    f"domain '{domain}' has too few tokens for one block: "
                    "add documents, shorten data.sequence_length or give it weight 0"
                )
        self.whole = {domain: int(blocks[domain]) for domain in self.domains}
        self.blocks = {domain: min(n, (unique or {}).get(domain, n)) for domain, n in self.whole.items()}
        self.drawn = {domain: (drawn or {}).get(domain, 0) for domain in self.domains}
        self.seed = seed
        self._orders: OrderedDict[int, tuple[Ints, Ints]] = OrderedDict()

    def sample(self, g: int) -> tuple[int, int, int]:
        """Sample number g (0, 1, …) → (domain index, epoch of that domain, block in that domain)."""
        domain, epoch, block = self.samples(np.array([g]))
        return int(domain[0]), int(epoch[0]), int(block[0])

    def samples(self, g: npt.ArrayLike) -> tuple[Ints, Ints, Ints]:
        """g (N,) → domain indices (N,), epochs (N,), blocks (N,)."""
        numbers = np.asarray(g, dtype=np.int64)
        windows, places = numbers // WINDOW, numbers % WINDOW
        domains, counts = np.empty_like(numbers), np.empty_like(numbers)
        for window in np.unique(windows):
            here = windows == window
            order, rank = self.order(int(window))
            domains[here], counts[here] = order[places[here]], rank[places[here]]
        sizes = np.array([self.quotas[d] for d in self.domains], dtype=np.int64)
        blocks_of = np.array([self.blocks[d] for d in self.domains], dtype=np.int64)
        drawn = np.array([self.drawn[d] for d in self.domains], dtype=np.int64)
        counts += windows * sizes[domains] + drawn[domains]
        epochs, positions = counts // blocks_of[domains], counts % blocks_of[domains]
        blocks = np.empty_like(numbers)
        for domain, epoch in {(int(d), int(e)) for d, e in zip(domains.flat, epochs.flat, strict=True)}:
            here = (domains == domain) & (epochs == epoch)
            name = self.domains[domain]
            blocks[here] = self.blocks_at(name, epoch, positions[here])
        return domains, epochs, blocks

    def blocks_at(self, domain: str, epoch: int, positions: npt.ArrayLike) -> Ints:
        """The blocks (N,) that stand at these places (N,) of an epoch."""
        chosen = permute(positions, self.blocks[domain], key_of(self.seed, "block", domain, epoch))
        if self.blocks[domain] == self.whole[domain]:
            return chosen
        return permute(chosen, self.whole[domain], key_of(self.seed, "unique", domain))

    def positions_of(self, domain: str, epoch: int, blocks: npt.ArrayLike) -> Ints:
        """The places in an epoch of those of the blocks (N,) that it has: `blocks_at` read backwards."""
        chosen = np.asarray(blocks, dtype=np.int64)
        if self.blocks[domain] < self.whole[domain]:
            chosen = invert(chosen, self.whole[domain], key_of(self.seed, "unique", domain))
            chosen = chosen[chosen < self.blocks[domain]]
        return invert(chosen, self.blocks[domain], key_of(self.seed, "block", domain, epoch))

    def counts(self, n_samples: int) -> dict[str, int]:
        """How many of the first n samples come from each domain; exact."""
        windows, rest = divmod(n_samples, WINDOW)
        partial = np.bincount(self.order(windows)[0][:rest], minlength=len(self.domains))
        return {d: windows * self.quotas[d] + int(partial[i]) for i, d in enumerate(self.domains)}

    def epochs(self, n_samples: int) -> dict[str, float]:
        """How often each domain is repeated in the first n samples: 2.45 is two whole passes and 45 % of a third."""
        return {domain: count / self.blocks[domain] for domain, count in self.counts(n_samples).items()}

    def order(self, window: int) -> tuple[Ints, Ints]:
        """Domain (10 000,) at each place of the window, and which of its domain's samples (10 000,) stands there.

        The i-th sample of a domain has the key (i + uniform) / n_d; sorted by key, every prefix holds each domain to
        within about one sample of its share.
        """
        if window not in self._orders:
            keys, owners = [], []
            for index, (domain, n) in enumerate(self.quotas.items()):
                jitter = uniform(key_of(self.seed, "order", domain, window), np.arange(n, dtype=np.uint64))
                keys.append((np.arange(n) + jitter) / n)
                owners.append(np.full(n, index, dtype=np.int64))
            order = np.concatenate(owners)[np.argsort(np.concatenate(keys), kind="stable")]
            rank = np.empty_like(order)
            for index in range(len(self.domains)):
                here = order == index
                rank[here] = np.arange(int(here.sum()))
            self._orders[window] = (order, rank)
            while len(self._orders) > CACHED_WINDOWS:
                self._orders.popitem(last=False)
        return self._orders[window]


@dataclass(frozen=True)
class MixtureReport:
    """What `tokens` of training draw from each domain: `repetitions` and `tokens_drawn` per domain."""

    tokens: int
    tokens_drawn: dict[str, int]
    repetitions: dict[str, float]

    @classmethod
    def of(cls, mixture: Mixture, tokens: int, sequence_length: int) -> MixtureReport:
        samples = tokens // sequence_length
        drawn = {domain: count * sequence_length for domain, count in mixture.counts(samples).items()}
        return cls(tokens, drawn, mixture.epochs(samples))

    def lines(self) -> list[str]:
        """One line per domain: `code       × 1.10   670 000 tokens`."""
        width = max(map(len, self.repetitions))
        return [f"{d:{width}}  × {r:.2f}  {self.tokens_drawn[d]:,} tokens" for d, r in self.repetitions.items()]
