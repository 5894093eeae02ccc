"""Hidden states of texts that lie one after the other, as heads read them."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from curation.inference.states import States


def states(lengths):
    hidden_TD = torch.arange(2.0 * sum(lengths)).reshape(-1, 2)
    return States(hidden_TD, torch.arange(sum(lengths)), tuple(lengths), pad=-1)


def test_the_first_tokens_and_the_means():
    found = states([2, 3])
    assert found.first_BD.tolist() == [[0, 1], [4, 5]]
    assert found.first_ids_B.tolist() == [0, 2]
    assert found.mean_BD.tolist() == [[1, 2], [6, 7]]


def test_rows_are_padded_on_the_right():
    hidden_BTD, ids_BT, mask_BT = states([1, 2]).padded()
    assert ids_BT.tolist() == [[0, -1], [1, 2]]
    assert mask_BT.tolist() == [[1, 0], [1, 1]]
    assert hidden_BTD.tolist() == [[[0, 1], [0, 0]], [[2, 3], [4, 5]]]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_parts_hold_all_texts_in_order_and_little_padding(lengths):
    whole = states(lengths)
    parts = list(whole.parts())
    assert tuple(length for part in parts for length in part.lengths) == whole.lengths
    assert torch.equal(torch.cat([part.hidden_TD for part in parts]), whole.hidden_TD)
    assert all(len(part.lengths) * max(part.lengths) <= 2 * sum(lengths) for part in parts)
