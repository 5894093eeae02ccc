"""Texts that lie one after the other in one row do not see each other, or are not packed."""

import numpy as np
import pytest
import torch
from test_architectures import ARCHITECTURES, write_model

from curation.inference import packing
from curation.inference.trunk import load_trunk

FIRST_POSITIONS = dict.fromkeys(ARCHITECTURES) | {
    "Bert": 0, "DistilBert": 0, "Electra": 0, "Albert": 0, "Roberta": 2, "XLMRoberta": 2
}  # fmt: skip


@pytest.fixture
def bert(tmp_path):
    write_model(tmp_path, "Bert")
    return load_trunk(tmp_path, "cpu")


def padded(*rows):
    """ids_BT and mask_BT of rows of ids."""
    shape = (len(rows), max(map(len, rows)))
    ids_BT, mask_BT = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    for place, row in enumerate(rows):
        ids_BT[place, : len(row)] = torch.tensor(row)
        mask_BT[place, : len(row)] = 1
    return ids_BT, mask_BT


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_which_models_are_packed_and_where_their_positions_begin(name, tmp_path):
    write_model(tmp_path, name)
    trunk = load_trunk(tmp_path, "cpu")
    assert trunk.is_packed == (FIRST_POSITIONS[name] is not None)
    assert packing.first_position(trunk.model) == FIRST_POSITIONS[name]


def test_packed_states_are_those_of_a_text_alone(bert):
    rows = [[5, 9, 13, 8], [7, 6], [11, 12, 13, 5, 6, 7, 8]]
    hidden_BTD = bert(*padded(*rows))
    for place, row in enumerate(rows):
        (alone_TD,) = bert.model(input_ids=torch.tensor([row])).last_hidden_state
        np.testing.assert_allclose(hidden_BTD[place, : len(row)], alone_TD, rtol=0, atol=1e-5)
    assert not hidden_BTD[1, 2:].any()


def test_a_row_without_tokens_is_no_obstacle(bert):
    hidden_BTD = bert(*padded([5, 6], []))
    assert torch.isfinite(hidden_BTD[0]).all()


def test_a_model_that_loses_the_lengths_on_the_way_is_not_packed(bert):
    forward = bert.model.encoder.forward

    def forgetful(*args, **kwargs):
        kwargs.pop("cu_seq_lens_q", None)
        return forward(*args, **kwargs)

    bert.model.encoder.forward = forgetful
    assert packing.first_position(bert.model) is None


def test_a_model_that_is_not_packed_keeps_its_own_attention(tmp_path):
    write_model(tmp_path, "ModernBert")
    assert load_trunk(tmp_path, "cpu").model.config._attn_implementation == "sdpa"
