"""Which documents a part of a source is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.mixing import drawing
from curation.mixing.drawing import Cut, key_at, keys, times_before

POSITIONS = np.arange(20_000)


def test_a_key_depends_on_seed_run_shard_and_position_alone():
    alone = keys(1, "web", "a.jsonl", np.asarray([7]))
    assert keys(1, "web", "a.jsonl", POSITIONS)[7] == alone[0]
    for other in (keys(2, "web", "a.jsonl", POSITIONS), keys(1, "web", "b.jsonl", POSITIONS)):
        assert not set(other.tolist()) & set(keys(1, "web", "a.jsonl", POSITIONS).tolist())


def test_keys_are_what_they_were():
    assert keys(0, "web", "part-0.parquet", np.arange(3)).tolist() == [
        1209379571121850004,
        1344446000205181974,
        3404213000262353845,
    ]


def test_keys_fill_their_bins_evenly():
    counts = np.bincount(drawing.bins(keys(0, "web", "a", np.arange(400_000))), minlength=drawing.NUM_BINS)
    expected = 400_000 / drawing.NUM_BINS
    assert ((counts - expected) ** 2 / expected).sum() == pytest.approx(drawing.NUM_BINS, rel=0.1)


def test_what_is_drawn_ends_at_the_middle_of_a_document():
    of, num_tokens = np.asarray([30, 10, 20]), np.asarray([5, 10, 20])
    assert [key_at(of, num_tokens, left) for left in (1, 5, 6, 10, 11, 20, 21, 33)] == [10, 10, 11, 11, 20, 20, 21, 31]


def test_two_and_a_half_epochs_are_every_document_twice_and_half_of_them_once_more():
    of = np.asarray([10, 20, 30, 40])
    times = np.diff(times_before([[Cut(0, 0), Cut(2, 25)]], np.zeros(4, np.intp), of), axis=1)
    assert times.ravel().tolist() == [3, 3, 2, 2]


def test_a_phase_goes_on_where_the_one_before_it_ended():
    of = np.asarray([10, 20, 30, 40])
    times = np.diff(times_before([[Cut(0, 0), Cut(0, 25), Cut(1, 15)]], np.zeros(4, np.intp), of), axis=1)
    assert times.tolist() == [[1, 1], [1, 0], [0, 1], [0, 1]]


@given(st.data())
def test_every_phase_draws_its_tokens_within_a_document(data):
    num_tokens = np.asarray(data.draw(st.lists(st.integers(0, 50), min_size=1, max_size=40).filter(any)))
    wanted = data.draw(st.lists(st.integers(0, 4 * int(num_tokens.sum())), min_size=1, max_size=4))
    of, supply = keys(data.draw(st.integers(0, 9)), "web", "a", np.arange(len(num_tokens))), int(num_tokens.sum())
    sums = np.bincount(drawing.bins(of), num_tokens, drawing.NUM_BINS).astype(np.int64)
    cuts = []
    for tokens in [0, *np.cumsum(wanted).tolist()]:
        whole, left = divmod(tokens, supply)
        place, before = drawing.bin_at(sums, left) if left else (0, 0)
        here = drawing.bins(of) == place
        cuts.append(Cut(whole, key_at(of[here], num_tokens[here], left - before) if left else 0))
    times = np.diff(times_before([cuts], np.zeros(len(of), np.intp), of), axis=1)
    assert (times >= 0).all()
    assert (np.abs(num_tokens @ times - wanted) <= num_tokens.max()).all()
    assert times.sum(axis=1).max() - times.sum(axis=1).min() <= 1
