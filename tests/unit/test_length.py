import numpy as np
import pytest

from curation.evaluation import length


def test_a_label_that_is_the_logarithm_of_the_length_is_known_by_it():
    lengths = np.array([10, 100, 1000, 10000])
    labels = 0.5 * np.log1p(lengths)
    assert length.line(labels, lengths) == pytest.approx(labels)


def test_length_that_says_nothing_gives_every_document_the_mean():
    assert length.line(np.array([0.0, 2, 0, 2]), np.full(4, 50)) == pytest.approx(np.ones(4))


def test_long_documents_are_likelier_yes_where_long_documents_are_yes():
    found = length.probabilities(np.array([0, 0, 1, 1]), np.array([10, 20, 1000, 2000]))
    assert found.sum(axis=1) == pytest.approx(1)
    assert found[:, 1].argsort().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(("number", "kept"), [(0, 0), (1, 1), (2, 3), (3, 3), (4, 4)])
def test_a_cut_keeps_as_many_as_asked_for_and_all_that_are_equal(number, kept):
    scores = np.array([0.1, 0.5, 0.5, 0.9])
    assert (scores >= length.cut_that_keeps(number, scores)).sum() == kept
