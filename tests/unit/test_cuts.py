import numpy as np
import pytest

from curation.training.thresholds import Cut, cuts


def test_a_cut_that_separates_is_found_at_the_lowest_good_score():
    labels, scores = np.array([0.0, 1.0, 3.0, 4.0]), np.array([0.3, 0.9, 1.2, 1.1])
    assert cuts(labels, scores, [3.0]) == [Cut(3.0, 1.1, 1.0, 0.5)]


def test_no_cut_is_better_than_the_one_that_is_found():
    from sklearn.metrics import f1_score

    generator = np.random.default_rng(8)
    labels = generator.integers(0, 6, 200).astype(float)
    scores = (labels + generator.normal(0, 2, 200)).round(1)
    (found,) = cuts(labels, scores, [3.0])
    every = {cut: f1_score(labels >= 3, scores >= cut, average="macro") for cut in np.unique(scores)}
    assert found.macro_f1 == pytest.approx(max(every.values()))
    assert found.score == min(cut for cut, value in every.items() if value == pytest.approx(found.macro_f1))
    assert found.share_above == pytest.approx((scores >= found.score).mean())


def test_a_question_with_one_answer_has_no_cut():
    assert cuts(np.array([0.0, 1.0]), np.array([0.1, 0.2]), [3.0, 0.0]) == []
