import functools
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.calibration.histogram import (
    MAX_TOTAL_WEIGHT,
    PERCENTS,
    Histogram,
    Refinement,
    bins_to_refine,
    coarse,
    cuts,
    fine,
    order_keys,
    score_of,
)
from curation.calibration.thresholds import ClassifierThresholds, Thresholds, exact_thresholds
from curation.statistics import weighted_quantile

finite = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=True)
tied = st.sampled_from([-1.5, -0.0, 0.0, 1e-45, 0.25, 0.25000003])
subnormal = st.integers(-(2**23) + 1, 2**23 - 1).map(lambda n: n * 2.0**-149)
anything = st.one_of(finite, tied, subnormal)
columns = st.one_of(
    *(st.lists(kind, min_size=1, max_size=60) for kind in (finite, tied, subnormal, anything)),
    st.tuples(finite, st.integers(1, 60)).map(lambda pair: [pair[0]] * pair[1]),
).map(lambda values: np.array(values, np.float32))
NUMPY_IS_EXACT_BELOW = 1 << 46
with_missing = st.lists(st.one_of(anything, st.sampled_from([np.nan, np.inf, -np.inf])), min_size=1, max_size=60).map(
    lambda values: np.array(values, np.float32)
)

calm = settings(deadline=None, max_examples=150)


@st.composite
def weighted(draw, columns=columns, limit=MAX_TOTAL_WEIGHT):
    """A column of scores and integer weights, the first positive, together below a limit."""
    scores = draw(columns)
    weight = st.integers(0, draw(st.sampled_from([1, 10, 10**5, limit // 61])))
    weights = draw(st.lists(weight, min_size=len(scores), max_size=len(scores)))
    return scores, np.array([max(weights[0], 1), *weights[1:]], np.int64)


@st.composite
def splits(draw, num_rows):
    """The row numbers in another order, in parts that may be empty."""
    rows = np.array(draw(st.permutations(range(num_rows))), np.intp)
    return np.split(rows, sorted(draw(st.lists(st.integers(0, num_rows), max_size=6))))


def cuts_of(scores, weights):
    return exact_thresholds(lambda: [(scores, weights)], "edu").cuts


def as_bits(values):
    return np.array(values, np.float64).view(np.uint64).tolist()


@calm
@given(weighted(limit=NUMPY_IS_EXACT_BELOW))
def test_cuts_are_the_percentiles_of_numpy(column):
    scores, weights = column
    expected = np.percentile(scores, PERCENTS, weights=weights, method="inverted_cdf")
    assert cuts_of(scores, weights) == tuple(expected.tolist())


@calm
@given(weighted(with_missing))
def test_cuts_are_the_quantiles_of_an_exact_sort_of_the_scores_that_are_there(column):
    scores, weights = column
    scores[0] = 0.5
    present = np.where(np.isfinite(scores), scores, np.float32(np.nan))
    assert as_bits(cuts_of(scores, weights)) == as_bits(weighted_quantile(present, weights, PERCENTS))


@calm
@given(weighted(), st.data())
def test_cuts_have_the_same_bits_for_any_split_and_order_of_the_rows(column, data):
    scores, weights = column
    parts = data.draw(splits(len(scores)))
    split = exact_thresholds(lambda: [(scores[rows], weights[rows]) for rows in parts], "edu")
    assert as_bits(split.cuts) == as_bits(cuts_of(scores, weights))


@calm
@given(weighted(), st.data())
def test_parts_can_be_merged_in_any_order_of_both_passes(column, data):
    scores, weights = column
    parts = data.draw(splits(len(scores)))
    shuffled = data.draw(st.permutations(parts))
    histogram = functools.reduce(operator.add, (coarse(scores[rows], weights[rows]) for rows in parts))
    bins = bins_to_refine("edu", histogram)
    refinement = sum((fine(scores[rows], weights[rows], bins) for rows in shuffled), Refinement.empty(bins))
    assert as_bits(cuts("edu", histogram, refinement)) == as_bits(cuts_of(scores, weights))


@calm
@given(weighted(with_missing), st.data())
def test_a_merged_histogram_is_that_of_all_rows(column, data):
    scores, weights = column
    parts = data.draw(splits(len(scores)))
    merged = sum((coarse(scores[rows], weights[rows]) for rows in parts), Histogram.empty())
    whole = coarse(scores, weights)
    assert np.array_equal(merged.weight, whole.weight)
    assert (merged.num_scored, merged.num_missing) == (whole.num_scored, whole.num_missing)


@calm
@given(weighted(), st.integers(2, 1000))
def test_cuts_do_not_depend_on_the_unit_of_the_weights(column, unit):
    scores, weights = column
    if int(weights.sum()) * unit < MAX_TOTAL_WEIGHT:
        assert cuts_of(scores, weights * unit) == cuts_of(scores, weights)


@calm
@given(st.lists(anything, min_size=2, max_size=50))
def test_keys_order_scores_and_give_them_back(values):
    scores = np.array(values, np.float32)
    keys = order_keys(scores)
    assert np.array_equal(keys[:, None] < keys[None, :], scores[:, None] < scores[None, :])
    assert [score_of(int(key)) for key in keys] == scores.tolist()


@calm
@given(st.lists(weighted(), min_size=1, max_size=3, unique_by=id), st.booleans())
def test_thresholds_files_give_back_the_same_thresholds(columns, partial):
    entries = [exact_thresholds(lambda c=c: [c], f"c{place}", "f" * 64) for place, c in enumerate(columns)]
    thresholds = Thresholds(tuple(entries), partial, '{"a":1}')
    again = Thresholds.from_json(thresholds.to_json())
    assert again == thresholds
    assert [as_bits(each.cuts) for each in again.classifiers] == [as_bits(each.cuts) for each in entries]


@calm
@given(st.floats(-1e38, 1e38), st.lists(finite, min_size=1))
def test_a_float64_cut_that_is_read_separates_float32_scores_as_before(cut, scores):
    read = ClassifierThresholds("edu", (cut,) * 19)
    (rounded, *_) = Thresholds.from_json(Thresholds((read,)).to_json()).cuts("edu")
    near = np.float32(cut)
    close = [near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))]
    assert float(np.float32(rounded)) == rounded
    for score in (*scores, *map(float, close)):
        assert (score >= rounded) == (score >= cut)


def test_numpy_is_exact_only_while_the_total_weight_is_small():
    total, reached = 521_812_922_389_839, 495_722_276_270_347
    assert total > NUMPY_IS_EXACT_BELOW
    assert 100 * reached < 95 * total
    weights = np.array([reached, total - reached])
    assert weighted_quantile([1.0, 2.0], weights, [95]) == [2]
    assert cuts_of(np.array([1, 2], np.float32), weights)[PERCENTS.index(95)] == 2
    assert np.percentile([1.0, 2.0], [95], weights=weights, method="inverted_cdf") == [1]


@pytest.mark.parametrize("percent", PERCENTS)
def test_numpy_is_exact_one_unit_short_of_a_cut_at_its_largest_total_weight(percent):
    total = NUMPY_IS_EXACT_BELOW - 1
    short = -(-percent * total // 100) - 1
    scores, weights = np.array([1, 2], np.float32), np.array([short, total - short])
    place = PERCENTS.index(percent)
    assert cuts_of(scores, weights)[place] == 2
    assert np.percentile(scores, PERCENTS, weights=weights, method="inverted_cdf")[place] == 2
