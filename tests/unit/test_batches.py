"""Batches are a function of lengths and the token budget."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.inference.batches import batches, halves

LENGTHS = st.lists(st.integers(0, 600), max_size=60).map(lambda lengths: np.array(lengths, np.int64))


def test_the_longest_come_first_and_equal_ones_keep_their_order():
    found = batches(np.array([3, 9, 3, 5, 9]), token_budget=10)
    assert [batch.tolist() for batch in found] == [[1], [4], [3, 0], [2]]


def test_a_text_longer_than_the_budget_goes_alone():
    assert [batch.tolist() for batch in batches(np.array([4, 100, 4]), token_budget=10)] == [[1], [0, 2]]


@given(LENGTHS, st.integers(1, 2000))
def test_every_text_is_in_one_batch_and_no_batch_is_over_the_budget(lengths, token_budget):
    found = batches(lengths, token_budget)
    assert sorted(place for batch in found for place in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * lengths[batch].max() <= token_budget for batch in found)


@given(LENGTHS, st.integers(1, 2000))
def test_no_batch_could_take_the_next_text_too(lengths, token_budget):
    found = batches(lengths, token_budget)
    assert all((len(batch) + 1) * max(1, lengths[batch].max()) > token_budget for batch in found[:-1])


@pytest.mark.parametrize(("size", "expected"), [(2, ([0], [1])), (5, ([0, 1, 2], [3, 4]))])
def test_halves_keep_every_text_in_order(size, expected):
    assert tuple(part.tolist() for part in halves(np.arange(size))) == expected
