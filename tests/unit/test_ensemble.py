import pandas as pd
import pytest

from curation.core.errors import ConfigError
from curation.stages.ensemble import Ensemble


def quality(rows, **settings):
    names = tuple("abc"[: len(rows[0])])
    frame = pd.DataFrame(rows, columns=[f"{name}_bucket" for name in names], dtype="int8")
    return Ensemble(names, **settings)(frame)["quality"].tolist()


def test_max_takes_the_highest_bucket():
    assert quality([(1, 19, 3), (0, 0, 0)]) == [19, 0]


def test_mean_is_rounded_down():
    assert quality([(1, 1, 3), (18, 19, 19), (4, 5, 6)], method="mean") == [1, 18, 5]


def test_weighted_is_rounded_down():
    assert quality([(19, 0, 0), (10, 20 - 1, 0)], method="weighted", weights=("0.5", "0.25", "0.25")) == [9, 9]


def test_decimal_weights_are_exact_where_floats_are_not():
    assert (0.1 * 3 + 0.1 * 3 + 0.1 * 15) / (0.1 + 0.1 + 0.1) < 7
    assert quality([(3, 3, 15)], method="weighted", weights=("0.1", "0.1", "0.1")) == [7]


def test_equal_weights_are_the_mean():
    rows = [(1, 1, 3), (18, 19, 19), (4, 5, 6), (0, 0, 1)]
    assert quality(rows, method="weighted", weights=("999999.999999",) * 3) == quality(rows, method="mean")


@pytest.mark.parametrize("settings", [{}, {"method": "mean"}, {"method": "weighted", "weights": ("1", "2")}])
def test_any_missing_bucket_leaves_the_quality_missing(settings):
    assert quality([(19, -1), (-1, 4), (-1, -1)], **settings) == [-1, -1, -1]


@pytest.mark.parametrize("settings", [{}, {"method": "mean"}, {"method": "weighted", "weights": ("1", "2")}])
def test_missing_buckets_can_be_ignored_while_one_is_there(settings):
    assert quality([(19, -1), (-1, 4), (-1, -1)], missing="ignore", **settings) == [19, 4, -1]


def test_ignored_buckets_take_their_weight_with_them():
    assert quality([(10, -1, 0)], method="weighted", weights=("1", "8", "1"), missing="ignore") == [5]


@pytest.mark.parametrize("weight", ["", "half", "nan", "inf", "0", "0.000000", "-1", "1e3", "0.0000001", "1234567"])
def test_a_weight_that_is_no_usable_decimal_is_refused(weight):
    with pytest.raises(ConfigError, match=f"the weight of 'b' is {weight!r}"):
        Ensemble(("a", "b"), "weighted", ("1", weight))


def test_weights_without_effect_are_refused():
    with pytest.raises(ConfigError, match='weights have no effect with "max"'):
        Ensemble(("a",), "max", ("1",))


def test_too_few_weights_are_refused():
    with pytest.raises(ConfigError, match="the classifier 'b' has no weight"):
        Ensemble(("a", "b"), "weighted", ("1",))


def test_too_many_weights_are_refused():
    with pytest.raises(ConfigError, match="2 weights for 1 classifiers"):
        Ensemble(("a",), "weighted", ("1", "2"))


def test_an_ensemble_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="at least one classifier"):
        Ensemble(())
