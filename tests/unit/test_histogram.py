import numpy as np
import pytest

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
from curation.core.errors import CurationError


def floats(*values):
    return np.array(values, np.float32)


def cuts_of(scores, weights):
    histogram = coarse(scores, weights)
    return cuts("edu", histogram, fine(scores, weights, bins_to_refine("edu", histogram)))


def test_keys_are_in_the_order_of_the_scores():
    scores = floats(-np.inf, -3.5, -1e-45, 0.0, 1e-45, 1.2e-38, 0.1, 0.10000001, 3.4e38, np.inf)
    assert np.array_equal(np.argsort(order_keys(scores)), np.arange(len(scores)))


def test_minus_zero_has_the_key_of_zero():
    minus, plus = order_keys(floats(-0.0, 0.0))
    assert minus == plus


def test_a_key_gives_back_its_score():
    scores = floats(-3.5, -1e-45, 0.0, 1e-45, 0.1, 3.4e38)
    assert [score_of(int(key)) for key in order_keys(scores)] == scores.tolist()


def test_a_cut_is_the_smallest_score_whose_cumulative_weight_reaches_it():
    scores = np.arange(1, 21, dtype=np.float32)
    assert cuts_of(scores, np.ones(20, np.int64)) == tuple(range(1, 20))


def test_weights_decide_where_the_cuts_lie():
    assert cuts_of(floats(1, 2, 3), np.array([5, 90, 5])) == (1.0,) + (2.0,) * 18


def test_a_share_one_unit_short_of_a_cut_does_not_reach_it():
    enough, short = np.array([50, 50]), np.array([49_999, 50_001])
    halfway = PERCENTS.index(50)
    assert cuts_of(floats(1, 2), enough)[halfway] == 1
    assert cuts_of(floats(1, 2), short)[halfway] == 2


def test_a_single_document_defines_every_cut():
    assert cuts_of(floats(0.25), np.array([7])) == (0.25,) * 19


def test_a_document_without_weight_never_defines_a_cut():
    assert cuts_of(floats(-1, 2, 3), np.array([0, 1, 0])) == (2.0,) * 19


def test_missing_scores_carry_no_weight_and_are_counted():
    scores, weights = floats(np.nan, 1, np.inf, -np.inf), np.array([100, 1, 100, 100])
    histogram = coarse(scores, weights)
    assert (histogram.num_scored, histogram.num_missing, histogram.total_weight) == (1, 3, 1)
    assert cuts_of(scores, weights) == (1.0,) * 19


def test_a_cut_at_zero_is_plus_zero_whichever_zeros_there_are():
    assert [str(cut) for cut in cuts_of(floats(-0.0, -0.0), np.array([1, 1]))] == ["0.0"] * 19


def test_weights_may_be_of_any_integer_type():
    scores = floats(1, 2, 3)
    expected = cuts_of(scores, np.array([5, 250, 20]))
    assert cuts_of(scores, np.array([5, 250, 20], np.uint8)) == expected
    assert cuts_of(scores, np.array([5, 250, 20], np.uint64)) == expected


def test_more_documents_than_one_block_are_all_counted():
    scores = np.tile(np.arange(20, dtype=np.float32), 40_000)
    assert coarse(scores, np.full(len(scores), 3)).total_weight == 2_400_000
    assert cuts_of(scores, np.full(len(scores), 3)) == tuple(range(19))


def test_a_column_that_is_missing_everywhere_says_so():
    with pytest.raises(CurationError, match=r"edu: no cuts .*0 documents with a score, 2 without"):
        bins_to_refine("edu", coarse(floats(np.nan, np.nan), np.array([1, 1])))


def test_a_column_without_any_weight_says_so():
    with pytest.raises(CurationError, match=r"1 documents with a score, 0 without"):
        bins_to_refine("edu", coarse(floats(1), np.array([0])))


def test_a_total_weight_just_below_the_limit_is_exact():
    weights = np.array([MAX_TOTAL_WEIGHT // 2 - 1, MAX_TOTAL_WEIGHT // 2])
    assert cuts_of(floats(1, 2), weights) == (1.0,) * 9 + (2.0,) * 10


def test_a_total_weight_at_the_limit_is_refused():
    with pytest.raises(CurationError, match=r"weigh 72,057,594,037,927,936 in all.* less than 2\*\*56"):
        coarse(floats(1, 2), np.array([MAX_TOTAL_WEIGHT - 1, 1]))


def test_a_total_weight_that_overflows_int64_is_refused():
    with pytest.raises(CurationError, match="less than"):
        coarse(floats(1, 2), np.array([2**63, 2**63], np.uint64))


def test_a_sum_of_histograms_that_passes_the_limit_is_refused():
    half = coarse(floats(1), np.array([MAX_TOTAL_WEIGHT // 2]))
    with pytest.raises(CurationError, match="less than"):
        half + half


@pytest.mark.parametrize(
    ("scores", "weights", "message"),
    [
        (np.array([1.0]), np.array([1]), "Scores are float64"),
        (floats(1), np.array([1.0]), "Weights are float64"),
        (floats(1, 2), np.array([1]), r"shape \(2,\) and weights \(1,\)"),
        (floats(1, 2), np.array([1, -1]), "A weight is -1"),
    ],
)
def test_what_cannot_be_exact_is_refused(scores, weights, message):
    with pytest.raises(CurationError, match=message):
        coarse(scores, weights)


def test_a_second_pass_over_other_scores_is_noticed():
    histogram = coarse(floats(1, 2), np.array([1, 1]))
    bins = bins_to_refine("edu", histogram)
    with pytest.raises(CurationError, match=r"edu: the two passes .* saw different data"):
        cuts("edu", histogram, fine(floats(1), np.array([1]), bins))


def test_a_second_pass_over_too_few_bins_is_noticed():
    histogram = coarse(floats(1, 2), np.array([1, 1]))
    with pytest.raises(CurationError, match="saw different data"):
        cuts("edu", histogram, fine(floats(1, 2), np.array([1, 1]), bins_to_refine("edu", histogram)[:1]))


def test_refinements_of_different_bins_are_not_merged():
    with pytest.raises(CurationError, match="different bins"):
        Refinement.empty([1]) + Refinement.empty([2])
    refinement = Refinement.empty([1])
    with pytest.raises(CurationError, match="different bins"):
        refinement += Refinement.empty([2])


def test_refinements_are_merged_in_place_as_they_are_otherwise():
    parts = [fine(floats(1, 1.0001), np.array([weight, 1]), [0xBF80]) for weight in (3, 4)]
    expected = (parts[0] + parts[1]).weight
    total = parts[0]
    total += parts[1]
    assert total is parts[0]
    assert np.array_equal(total.weight, expected)
    assert total.weight.sum() == 9


def test_the_state_is_half_a_megabyte_and_then_half_a_megabyte_a_bin():
    assert Histogram.empty().weight.nbytes == 2**19
    assert Refinement.empty(range(19)).weight.nbytes == 19 * 2**19
