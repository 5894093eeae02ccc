import numpy as np
import pandas as pd
import pytest

from curation.core.errors import ColumnError, ConfigError
from curation.stages.bucket import Bucket

CUTS = tuple(float(cut) for cut in range(1, 20))


def buckets(scores, cuts=CUTS):
    return Bucket((("edu", cuts),))(pd.DataFrame({"edu": scores}))["edu_bucket"].tolist()


def test_a_bucket_counts_the_cuts_below_a_score():
    assert buckets(np.array([0.5, 1.5, 18.5, 19.5], np.float32)) == [0, 1, 18, 19]


def test_a_score_equal_to_a_cut_lies_above_it():
    assert buckets(np.array([1, 19], np.float32)) == [1, 19]


def test_a_score_equal_to_repeated_cuts_lies_above_all_of_them():
    assert buckets(np.array([1, 2, 3], np.float32), (2.0,) * 10 + (3.0,) * 9) == [0, 10, 19]


def test_minus_zero_lies_above_a_cut_at_zero():
    assert buckets(np.array([-0.0, 0.0], np.float32), (0.0,) * 19) == [19, 19]


def test_a_missing_score_is_in_no_bucket():
    assert buckets(np.array([np.nan, np.inf, -np.inf], np.float32)) == [-1, -1, -1]


def test_float64_scores_are_compared_without_rounding():
    assert buckets(np.array([1 - 1e-12, 1 + 1e-12])) == [0, 1]


def test_a_score_column_may_have_another_name():
    stage = Bucket((("edu", CUTS),), (("edu", "edu_score"),))
    assert stage.reads == ("edu_score",)
    assert stage(pd.DataFrame({"edu_score": np.float32([5])}))["edu_bucket"].tolist() == [5]


def test_scores_that_are_not_floats_are_refused():
    with pytest.raises(ColumnError, match="'edu' as int64"):
        buckets(np.array([1, 2]))


@pytest.mark.parametrize("cuts", [(1.0,), CUTS[::-1], (float("nan"),) * 19])
def test_cuts_that_are_no_thresholds_are_refused(cuts):
    with pytest.raises(ConfigError, match="cuts of 'edu'"):
        Bucket((("edu", cuts),))
