"""Tier shares of classifiers that know nothing of each other, and distances of distributions."""

from functools import reduce

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from curation.calibration.distance import ks, psi
from curation.calibration.histogram import order_keys
from curation.calibration.thresholds import Thresholds, exact_thresholds
from curation.stages.tiering import TieringSpec, stages

calm = settings(deadline=None, max_examples=100)

scores = st.floats(-10, 10, width=32).map(np.float32)
samples = st.lists(scores, min_size=2, max_size=60).map(lambda values: np.array(values, np.float32))
weights = st.lists(st.integers(0, 10**9), min_size=20, max_size=20).filter(any)
derived = {"high": 14.2625, "medium-high": 12.8375, "medium": 51.3, "medium-low": 17.3125, "low": 4.2875}
"""Per cent of each tier where three classifiers are independent: differences of ((k + 1) / 20) cubed."""


def tiered(columns, sizes):
    """The documents in the tiers of Nemotron-CC, and the thresholds that their scores give."""
    entries = [exact_thresholds(lambda c=column: [(c, sizes)], name) for name, column in columns.items()]
    found = stages(TieringSpec(), Thresholds(tuple(entries)), {name: name for name in columns})(pd.DataFrame(columns))
    return found.assign(weight=sizes), entries


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("unequal", [False, True], ids=["equal weights", "weights of their own"])
def test_three_classifiers_that_are_independent_give_the_derived_shares(seed, unequal):
    draw = np.random.default_rng(seed)
    number = 200_000
    sizes = draw.integers(100, 10_000, number) if unequal else np.ones(number, np.int64)
    drawn = {"a": draw.normal(size=number), "b": draw.beta(1, 5, number), "c": draw.exponential(size=number)}
    found, _ = tiered({name: column.astype(np.float32) for name, column in drawn.items()}, sizes)
    shares = 100 * found.groupby("tier")["weight"].sum() / sizes.sum()
    assert shares.to_dict() == pytest.approx(derived, abs=0.5)


@st.composite
def corpora(draw):
    """Scores of one to four classifiers for the same documents, often tied, and the weights of the documents."""
    number = draw(st.integers(1, 60))
    score = st.sampled_from(draw(st.lists(scores, min_size=1, max_size=30)))
    names = "abcd"[: draw(st.integers(1, 4))]
    columns = {name: draw(st.lists(score, min_size=number, max_size=number)) for name in names}
    sizes = draw(st.lists(st.integers(1, 10_000), min_size=number, max_size=number))
    return {name: np.array(column, np.float32) for name, column in columns.items()}, np.array(sizes)


@calm
@given(corpora())
def test_tier_shares_lie_in_the_bounds_that_hold_for_any_scores(corpus):
    columns, sizes = corpus
    found, entries = tiered(columns, sizes)
    weight, total, number = found["weight"], int(sizes.sum()), len(columns)
    ends = {"low": 6, "medium-low": 11, "medium": 17, "medium-high": 18}
    up_to = {name: [*ends][: place + 1] for place, name in enumerate(ends)}
    for name, bucket in ends.items():
        held = int(weight[found["tier"].isin(up_to[name])].sum())
        on_cuts = sum(int(sizes[columns[each.name] == np.float32(each.cuts[bucket])].sum()) for each in entries)
        assert 20 * held <= (bucket + 1) * total
        assert 20 * (held + on_cuts) >= 20 * total - number * (19 - bucket) * total


@calm
@given(corpora().map(lambda corpus: corpus[0]["a"]), st.integers(1, 4))
def test_classifiers_that_are_equal_give_the_shares_of_one(column, number):
    sizes = np.ones(len(column), np.int64)
    one, _ = tiered({"a": column}, sizes)
    several, _ = tiered(dict.fromkeys("abcd"[:number], column), sizes)
    assert several["tier"].tolist() == one["tier"].tolist()


@calm
@given(weights, weights)
def test_both_distances_are_symmetric_and_not_negative(first, second):
    assert psi(first, second) == pytest.approx(psi(second, first))
    assert psi(first, second) >= 0
    assert ks(first, second) == ks(second, first)


@calm
@given(weights, st.integers(1, 1000))
def test_both_distances_of_equal_shares_are_zero(values, times):
    more = [times * each for each in values]
    assert psi(values, more) == pytest.approx(0, abs=1e-12)
    assert ks(values, more)[0] == pytest.approx(0, abs=1e-12)


@calm
@given(samples, samples)
def test_the_distance_of_samples_lies_between_the_bounds_of_their_bins(first, second):
    keys = [order_keys(each.copy()) >> 16 for each in (first, second)]
    bins = reduce(np.union1d, keys)
    least, most = ks(*(np.bincount(np.searchsorted(bins, each), minlength=len(bins)) for each in keys))
    exact = ks_2samp(first + np.float32(0), second + np.float32(0), method="asymp").statistic
    assert least - 1e-9 <= exact <= most + 1e-9
