"""Batches are a function of lengths and the token budget."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.inference.batches import Batch, Framed, alike, batches, halves, most_texts, runs
from curation.inference.tokens import Template, Tokens

TOKENS = Tokens(np.array([5, 6, 7, 8, 9], np.int32), np.array([0, 2, 2, 5]), np.zeros(3, bool))
TEMPLATE = Template((1,), (2, 3), pad=0)
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


def test_texts_are_framed_by_their_special_tokens():
    batch = Framed(TOKENS, TEMPLATE).batch(np.array([2, 1]))
    assert batch.ids.tolist() == [1, 7, 8, 9, 2, 3, 1, 2, 3]
    assert batch.lengths.tolist() == [6, 3]


def test_a_text_without_any_token_is_one_of_padding():
    batch = Framed(TOKENS, Template((), (), pad=4)).batch(np.array([0, 1]))
    assert (batch.ids.tolist(), batch.lengths.tolist()) == ([5, 6, 4], [2, 1])


def test_a_batch_in_rows_is_padded_on_the_right():
    ids_BT, mask_BT = Framed(TOKENS, TEMPLATE).batch(np.array([1, 0])).padded()
    assert ids_BT.tolist() == [[1, 2, 3, 0, 0], [1, 5, 6, 2, 3]]
    assert mask_BT.tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]


def test_places_are_counted_in_each_text():
    assert Batch(np.arange(5), np.array([2, 3]), 0).places.tolist() == [0, 1, 0, 1, 2]


@pytest.mark.parametrize(("size", "expected"), [(5, [2, 3]), (8, [2, 3, 3]), (13, [2, 3, 4, 4])])
def test_a_filled_batch_has_texts_of_padding_no_longer_than_allowed(size, expected):
    filled = Batch(np.arange(1, 6), np.array([2, 3]), pad=0).filled(size, longest=4)
    assert filled.lengths.tolist() == expected
    assert filled.ids.tolist() == [1, 2, 3, 4, 5, *[0] * (size - 5)]


@given(LENGTHS, st.integers(600, 5000))
def test_runs_hold_what_fits_in_the_order_given(lengths, token_budget):
    found = runs(lengths, token_budget)
    assert np.concatenate([*found, np.empty(0, np.int64)]).tolist() == list(range(len(lengths)))
    assert all(lengths[run].sum() <= token_budget and len(run) <= most_texts(token_budget) for run in found)


@given(LENGTHS, st.integers(600, 5000))
def test_no_run_could_take_the_next_text_too(lengths, token_budget):
    found = runs(lengths, token_budget)
    for run, after in pairwise(found):
        assert lengths[run].sum() + lengths[after[0]] > token_budget or len(run) == most_texts(token_budget)


def test_a_text_longer_than_a_run_goes_alone():
    assert [run.tolist() for run in runs(np.array([4, 100, 4]), token_budget=64)] == [[0], [1], [2]]


@given(LENGTHS, st.integers(1, 2000))
def test_alike_texts_come_together_and_others_never(lengths, token_budget):
    found = alike(lengths, token_budget)
    assert sorted(place for batch in found for place in batch) == list(range(len(lengths)))
    assert all(len(set(lengths[batch])) == 1 for batch in found if len(batch))
