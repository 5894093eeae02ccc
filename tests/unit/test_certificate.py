"""A certificate says how far scores move, in units that mean something, and what that does to buckets and tiers."""

import numpy as np
import pytest

from curation.calibration.certificate import Certificate, certify, sample_cuts
from curation.statistics import weighted_quantile

SCORES = np.arange(100, dtype=np.float32)


def certificate(moved, buckets=((0, 1), (0, 1)), tiers=(("a",), ("a",)), scores=SCORES):
    return certify((scores, moved), buckets, tiers)


def test_equal_scores_do_not_move():
    found = certificate(SCORES)
    assert found == Certificate(100, 0.0, 0.0, pytest.approx(1), 0.0, 0.0)
    assert found.is_good


def test_distances_are_in_standard_deviations_of_the_exact_scores():
    moved = SCORES.copy()
    moved[3] += 10
    found = certificate(moved)
    assert found.max_moved == pytest.approx(10 / SCORES.std())
    assert found.mean_moved == pytest.approx(0.1 / SCORES.std())


@pytest.mark.parametrize(("num_moved", "is_good"), [(3, True), (4, False)])
def test_three_percent_in_another_bucket_are_good_enough(num_moved, is_good):
    buckets = np.zeros(100, int), np.r_[np.ones(num_moved, int), np.zeros(100 - num_moved, int)]
    found = certificate(SCORES, buckets=buckets)
    assert found.bucket_share == num_moved / 100
    assert found.is_good == is_good


def test_tiers_are_compared_too():
    assert certificate(SCORES, tiers=(["low", "high"], ["low", "low"])).tier_share == 0.5


def test_a_missing_score_is_left_out_of_the_distances():
    moved = SCORES + 1
    moved[0] = np.nan
    assert certificate(moved).max_moved == pytest.approx(1 / SCORES[1:].std())


def test_equal_scores_of_all_documents_are_no_division_by_zero():
    found = certificate(np.ones(5) + 0.5, scores=np.ones(5))
    assert (found.max_moved, found.spearman) == (0.5, None)
    assert "Spearman undefined" in str(found)


def test_the_cuts_of_a_sample_are_those_of_a_run():
    weights = np.arange(1, 101)
    assert sample_cuts(SCORES, weights) == tuple(weighted_quantile(SCORES, weights, range(5, 100, 5)))


def test_scores_that_are_all_missing_have_some_cuts():
    assert len(sample_cuts([np.nan, np.nan], [1, 2])) == 19


def test_it_is_told_in_a_sentence():
    assert str(certificate(SCORES + 1)).startswith("on 100 documents: scores move by 0.0346 standard deviations")
