"""A mixture that changes: exact on both sides of the boundary, and each domain goes on where it was"""

from __future__ import annotations

import numpy as np

from packtrain.data.mixture import Mixture
from packtrain.data.phases import Phases

BLOCKS = {"a": 900, "b": 77, "c": 500}
CHANGE = 12_345  # in the middle of a window


def phases() -> Phases:
    return Phases({"a": 0.7, "b": 0.3}, [(CHANGE, {"a": 0.2, "c": 0.8}), (20_000, {"b": 1.0})], BLOCKS, seed=3)


def test_before_the_boundary_it_is_the_mixture_that_never_changes() -> None:
    g = np.arange(CHANGE)
    for ours, theirs in zip(phases().samples(g), Mixture({"a": 0.7, "b": 0.3}, BLOCKS, 3).samples(g), strict=True):
        assert (ours == theirs).all()


def test_every_sample_is_the_same_asked_alone_or_in_any_company() -> None:
    found, mixture = phases().samples(np.arange(CHANGE - 50, 20_050)), phases()
    for g in (CHANGE - 50, CHANGE - 1, CHANGE, CHANGE + 1, 19_999, 20_000, 20_049):
        assert mixture.sample(g) == tuple(int(column[g - CHANGE + 50]) for column in found)


def test_domains_have_their_new_shares_from_the_boundary_on_and_counts_say_so() -> None:
    mixture = phases()
    names = np.array(mixture.domains)[mixture.samples(np.arange(25_000))[0]]
    assert set(names[CHANGE:20_000]) == {"a", "c"} and set(names[20_000:]) == {"b"}
    assert abs((names[CHANGE:20_000] == "c").mean() - 0.8) < 0.001
    for n in (0, 1, CHANGE, CHANGE + 1, 20_000, 25_000):
        counted = {name: int((names[:n] == name).sum()) for name in BLOCKS}
        assert {name: mixture.counts(n).get(name, 0) for name in BLOCKS} == counted


def test_a_domain_is_read_whole_before_any_of_it_comes_again_however_often_the_mixture_changes() -> None:
    mixture = phases()
    domains, epochs, blocks = mixture.samples(np.arange(30_000))
    for index, name in enumerate(mixture.domains):
        here = domains == index
        assert (np.diff(epochs[here]) >= 0).all()
        for epoch in range(int(epochs[here].max())):  # the last is under way
            assert sorted(blocks[here & (epochs == epoch)]) == list(range(BLOCKS[name]))
