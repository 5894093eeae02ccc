import numpy as np
import pytest

from curation.evaluation.comparison import Compared, compare, disagreements, overlap, rank_correlation


def made(num_tokens=None, **scores):
    """Compared documents of 10 tokens each."""
    arrays = {name: np.array(values, float) for name, values in scores.items()}
    length = len(next(iter(arrays.values())))
    return Compared.of(arrays, np.array(num_tokens or [10] * length))


def test_overlap_has_both_either_and_the_union_by_documents_and_tokens():
    found = overlap(made([1, 2, 4, 8], a=[4, 3, 2, 1], b=[4, 1, 3, 2]), 0.1)
    [pair] = found["pairs"]
    assert found["kept"]["a"] == {"num_documents": 2, "num_tokens": 3}
    assert found["kept"]["b"] == {"num_documents": 2, "num_tokens": 5}
    assert pair["both"] == {"num_documents": 1, "num_tokens": 1}
    assert pair["only_first"] == {"num_documents": 1, "num_tokens": 2}
    assert pair["only_second"] == {"num_documents": 1, "num_tokens": 4}
    assert pair["union"] == {"num_documents": 3, "num_tokens": 7}


def test_equal_shares_keep_equally_many_tokens_as_far_as_documents_allow():
    generator = np.random.default_rng(0)
    num_tokens = generator.integers(1, 100, 1000).tolist()
    kept = overlap(made(num_tokens, a=generator.normal(size=1000), b=generator.normal(size=1000)), 0.1)["kept"]
    shares = [each["num_tokens"] / sum(num_tokens) for each in kept.values()]
    assert shares == pytest.approx([0.1, 0.1], abs=0.002)


def test_every_two_classifiers_are_a_pair():
    found = overlap(made(a=[1, 2], b=[1, 2], c=[2, 1]), 0.5)
    assert [(pair["first"], pair["second"]) for pair in found["pairs"]] == [("a", "b"), ("a", "c"), ("b", "c")]


def test_rank_correlation_is_of_every_two_and_of_each_with_length():
    found = rank_correlation(made([1, 2, 3], a=[1, 2, 3], b=[30, 20, 10]))
    assert found["names"] == ["a", "b", "length"]
    assert np.array(found["matrix"]) == pytest.approx(np.array([[1, -1, 1], [-1, 1, -1], [1, -1, 1]]))


def test_a_constant_score_has_no_rank_correlation():
    assert rank_correlation(made([1, 2], a=[1, 1], b=[1, 2]))["matrix"][0] == [None, None, None]


def test_disagreements_are_the_documents_whose_ranks_lie_furthest_apart():
    [pair] = disagreements(made(a=[1, 2, 3, 4], b=[10, 40, 30, 20]))
    assert [each["place"] for each in pair["first_prefers"]] == [3]
    assert [each["place"] for each in pair["second_prefers"]] == [1]
    assert pair["first_prefers"][0]["ranks"] == {"a": 0.875, "b": 0.375}
    assert pair["first_prefers"][0]["scores"] == {"a": 4.0, "b": 20.0}


def test_documents_that_one_has_not_scored_are_left_out_and_places_stay_those_of_the_data():
    compared = made(a=[np.nan, 1, 2, 3], b=[1, 3, 2, 1])
    assert compare(compared, (0.5,))["num_documents"] == 3
    assert compare(compared, ())["disagreements"][0]["first_prefers"][0]["place"] == 3
