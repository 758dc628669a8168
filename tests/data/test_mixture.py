"""The mixture is a pure function with exact quotas, and no domain restarts because another ended"""

from __future__ import annotations

import numpy as np
import pytest

from packtrain.data.mixture import WINDOW, Mixture, MixtureReport, normalise, quotas
from packtrain.data.permutation import permute
from packtrain.errors import UserError

# LLaMA, table 1: sampling proportion and epochs at 1.4 T tokens.
PAPER = {
    "common_crawl": (0.67, 1.10),
    "c4": (0.15, 1.06),
    "github": (0.045, 0.64),
    "wikipedia": (0.045, 2.45),
    "books": (0.045, 2.23),
    "arxiv": (0.025, 1.06),
    "stack_exchange": (0.02, 1.03),
}


def small(seed: int = 3) -> Mixture:
    return Mixture({"a": 0.5, "b": 0.3, "c": 0.2}, {"a": 900, "b": 77, "c": 5}, seed)


def test_wikipedia_is_seen_2_45_times_while_common_crawl_is_seen_1_1_times() -> None:
    length, tokens = 2048, 1.4e12 / 1e4
    samples = int(tokens // length)
    blocks = {name: round(samples * share / epochs) for name, (share, epochs) in PAPER.items()}
    mixture = Mixture({name: share for name, (share, _) in PAPER.items()}, blocks, seed=1)
    report = MixtureReport.of(mixture, int(tokens), length)
    for name, (_, epochs) in PAPER.items():
        assert report.repetitions[name] == pytest.approx(epochs, rel=0.01)
    drawn = mixture.samples(np.arange(samples))
    for index, name in enumerate(mixture.domains):  # and this is what is really drawn, not only what is announced
        blocks_drawn = drawn[2][drawn[0] == index]
        assert len(blocks_drawn) / blocks[name] == pytest.approx(PAPER[name][1], rel=0.01)
        whole = int(PAPER[name][1])
        times = np.bincount(blocks_drawn, minlength=blocks[name])
        assert times.min() >= whole and times.max() <= whole + 1


def test_every_window_holds_each_domain_exactly_by_its_quota() -> None:
    mixture = small()
    domains, _, _ = mixture.samples(np.arange(3 * WINDOW))
    for window in range(3):
        counts = np.bincount(domains[window * WINDOW : (window + 1) * WINDOW])
        assert counts.tolist() == [5000, 3000, 2000]


def test_every_prefix_is_near_its_share() -> None:
    mixture = Mixture({name: share for name, (share, _) in PAPER.items()}, dict.fromkeys(PAPER, 10**6), seed=5)
    domains, _, _ = mixture.samples(np.arange(WINDOW))
    for index, name in enumerate(mixture.domains):
        counts = np.cumsum(domains == index)
        expected = mixture.quotas[name] / WINDOW * np.arange(1, WINDOW + 1)
        assert np.abs(counts - expected).max() < 4


def test_a_sample_is_the_same_whenever_and_with_whatever_it_is_asked() -> None:
    numbers = np.random.default_rng(0).permutation(30_000)[:500]
    together = small().samples(np.arange(30_000))
    apart = small()
    for g in numbers:
        assert apart.sample(int(g)) == tuple(int(column[g]) for column in together)


def test_no_block_repeats_within_an_epoch_and_epochs_differ_in_order() -> None:
    domains, epochs, blocks = small().samples(np.arange(30_000))
    for index, n in enumerate((900, 77, 5)):
        here = domains == index
        orders = [tuple(blocks[here & (epochs == e)]) for e in range(4)]
        assert all(sorted(order) == list(range(n)) for order in orders)
        assert len(set(orders)) > 1
        assert epochs[here][0] == 0 and set(np.diff(epochs[here])) <= {0, 1}


def test_another_seed_is_another_order_with_the_same_quotas() -> None:
    first, second = small(1), small(2)
    numbers = np.arange(WINDOW)
    assert (first.samples(numbers)[0] != second.samples(numbers)[0]).any()
    assert first.counts(WINDOW) == second.counts(WINDOW)


def test_counts_are_what_is_drawn_in_the_middle_of_a_window() -> None:
    mixture = small()
    for n in (0, 1, 999, WINDOW, WINDOW + 4321):
        drawn = np.bincount(mixture.samples(np.arange(n))[0], minlength=3) if n else np.zeros(3)
        assert list(mixture.counts(n).values()) == drawn.tolist()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 16, 17, 63, 64, 65, 1000, 4096, 65_537, 100_003])
def test_the_permutation_is_a_bijection(n: int) -> None:
    for key in (0, 1, 2**63):
        assert np.array_equal(np.sort(permute(np.arange(n), n, key)), np.arange(n))


def test_the_permutation_does_not_keep_neighbours_together() -> None:
    order = permute(np.arange(10_000), 10_000, 7)
    assert np.mean(np.abs(np.diff(order)) < 10) < 0.01
    assert abs(np.corrcoef(np.arange(10_000), order)[0, 1]) < 0.05


def test_the_permutation_reaches_the_last_of_a_trillion_blocks() -> None:
    n = 10**12
    images = permute(np.array([0, n - 1, n // 2]), n, 1)
    assert len(set(images)) == 3 and images.min() >= 0 and images.max() < n


def test_the_order_is_fixed_for_all_time() -> None:
    # A change here would make every stopped run continue on other data.
    assert [small().sample(g) for g in (0, 1, 12_345)] == [(0, 0, 830), (1, 0, 70), (0, 6, 253)]


def test_weights_are_normalised_and_it_is_said() -> None:
    said: list[str] = []
    assert normalise({"a": 3, "b": 1, "c": 0}, said.append) == {"a": 0.75, "b": 0.25}
    assert len(said) == 1 and "4" in said[0] and "normalised" in said[0]
    said.clear()
    normalise({"a": 0.75, "b": 0.25}, said.append)
    assert not said


def test_tiny_weights_still_have_a_sample_in_each_window() -> None:
    counts = quotas({"big": 1.0, **{f"small{i}": 1e-9 for i in range(50)}})
    assert sum(counts.values()) == WINDOW and min(counts.values()) == 1


def test_a_domain_of_weight_zero_is_not_there() -> None:
    assert Mixture({"a": 1.0, "b": 0.0}, {"a": 3}, 0).domains == ("a",)


@pytest.mark.parametrize("weights", [{"a": -1.0}, {"a": 0.0}, {}, {"a": float("nan")}])
def test_weights_that_cannot_be_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(UserError):
        normalise(weights)


def test_a_domain_without_a_whole_block_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"'b'.*sequence_length"):
        Mixture({"a": 0.5, "b": 0.5}, {"a": 3, "b": 0}, 0)


def test_unique_blocks_are_chosen_by_the_seed_and_no_other_is_ever_drawn() -> None:
    def drawn(seed: int, n: int) -> list[set[int]]:
        mixture = Mixture({"a": 0.5, "b": 0.5}, {"a": 900, "b": 70}, seed, unique={"a": 30, "b": 70})
        domains, epochs, blocks = mixture.samples(np.arange(n))
        assert mixture.epochs(n)["a"] == pytest.approx(n / 2 / 30) and epochs[domains == 0].max() == (n // 2 - 1) // 30
        return [set(blocks[domains == index].tolist()) for index in (0, 1)]

    first, second = drawn(1, 10_000)
    assert len(first) == 30 and second == set(range(70))
    assert first == drawn(1, 200)[0] and first != drawn(2, 10_000)[0]
    assert max(first) > 500  # not the domain's first documents
