import math

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from curation.statistics import (
    bootstrap_interval,
    bootstrap_intervals,
    evenly,
    spearman,
    weighted_kappa,
    weighted_quantile,
)


def test_a_weighted_quantile_is_the_first_value_that_reaches_its_share():
    assert weighted_quantile([3.0, 1.0, 2.0], [1, 1, 2], [25, 26, 75, 76, 100]).tolist() == [1, 2, 2, 3, 3]


def test_a_weighted_quantile_leaves_out_missing_values_and_zero_weights():
    assert weighted_quantile([math.nan, 1.0, 2.0], [9, 0, 1], [1]).tolist() == [2]


def test_a_weighted_quantile_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no value has a weight"):
        weighted_quantile([math.nan], [1], [50])


def test_rank_correlation_is_that_of_scipy_with_ties():
    first, second = [1, 2, 2, 5, 4, 0.5], [3, 1, 2, 9, 2, 2]
    assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic, abs=1e-12)


def test_rank_correlation_sees_order_alone():
    assert spearman([1, 2, 3], [1, 10, 1000]) == pytest.approx(1)
    assert spearman([1, 2, 3], [0, -1, -2]) == pytest.approx(-1)


@pytest.mark.parametrize("constant", [[2, 2, 2], [1]])
def test_rank_correlation_of_a_constant_is_not_a_number(constant):
    assert math.isnan(spearman(constant, constant))


def test_equal_seeds_give_equal_intervals():
    values = np.random.default_rng(0).normal(size=50)
    assert bootstrap_interval(np.mean, [values], seed=1) == bootstrap_interval(np.mean, [values], seed=1)
    assert bootstrap_interval(np.mean, [values], seed=1) != bootstrap_interval(np.mean, [values], seed=2)


def test_an_interval_of_the_mean_is_about_two_standard_errors_wide_on_each_side():
    values = np.random.default_rng(0).normal(size=400)
    low, high = bootstrap_interval(np.mean, [values], seed=0)
    error = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.3 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.3 * error)


def test_rows_of_all_arrays_are_drawn_together():
    values = np.arange(20.0)
    assert bootstrap_interval(lambda a, b: np.abs(a - b).max(), [values, values], seed=0) == (0, 0)


def test_whole_groups_are_drawn_together():
    hosts = np.array(["b", "a", "b", "a"])

    def both_rows_are_there(rows):
        return float(np.isin([0, 2], rows).all() == np.isin([0, 2], rows).any())

    assert bootstrap_interval(both_rows_are_there, [np.arange(4)], seed=0, groups=hosts) == (1, 1)
    assert bootstrap_interval(both_rows_are_there, [np.arange(4)], seed=0)[0] == 0


def test_equal_rows_of_one_group_widen_the_interval():
    values = np.repeat(np.random.default_rng(0).normal(size=20), 50)
    groups = np.repeat(np.arange(20), 50)
    low, high = bootstrap_interval(np.mean, [values], seed=0, num_resamples=200)
    grouped_low, grouped_high = bootstrap_interval(np.mean, [values], seed=0, groups=groups, num_resamples=200)
    assert grouped_high - grouped_low > 4 * (high - low)


def test_a_resample_without_a_statistic_shows_in_the_interval():
    low, high = bootstrap_interval(spearman, [[1, 2], [1, 2]], seed=0)
    assert math.isnan(low)
    assert math.isnan(high)


def test_intervals_of_several_statistics_are_those_of_each_alone():
    values, hosts = np.random.default_rng(0).normal(size=60), np.arange(60) // 4

    def both(rows):
        return [rows.mean(), rows.std()]

    alone = [bootstrap_interval(statistic, [values], 0, hosts, num_resamples=50) for statistic in (np.mean, np.std)]
    together = bootstrap_intervals(both, [values], 0, hosts, num_resamples=50)
    assert together.tolist() == pytest.approx(np.array(alone))


def test_one_statistic_that_is_not_defined_leaves_the_others_theirs():
    intervals = bootstrap_intervals(lambda rows: [math.nan, rows.mean()], [np.ones(3)], 0, num_resamples=5)
    assert np.isnan(intervals).tolist() == [[True, True], [False, False]]


def test_weighted_kappa_is_that_of_scikit_learn():
    first, second = np.random.default_rng(0).integers(0, 5, (2, 60))
    weights = np.linspace(0.5, 3, 60)
    expected = cohen_kappa_score(first, second, weights="quadratic", sample_weight=weights)
    assert weighted_kappa(confusion_matrix(first, second, sample_weight=weights)) == pytest.approx(expected, abs=1e-12)


def test_weighted_kappa_is_one_where_all_is_equal_and_not_defined_where_nothing_differs():
    assert weighted_kappa(np.diag([3, 2, 4])) == 1
    assert math.isnan(weighted_kappa(np.diag([3, 0, 0])))
    assert math.isnan(weighted_kappa(np.zeros((3, 3))))


def test_what_is_shared_evenly_leaves_to_others_what_one_does_not_have():
    assert evenly({"a": 1, "b": 100, "c": 100}, 11) == {"a": 1, "b": 5, "c": 5}
    assert evenly({"a": 1, "b": 2}, 11) == {"a": 1, "b": 2}
