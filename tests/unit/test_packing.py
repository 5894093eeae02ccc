"""Texts that lie one after the other in one row do not see each other, or are not packed."""

import numpy as np
import pytest
import torch
from test_architectures import ARCHITECTURES, write_model

from curation.inference import packing
from curation.inference.batches import Batch
from curation.inference.trunk import load_trunk

FIRST_POSITIONS = dict.fromkeys(ARCHITECTURES) | {
    "RobertaPreLayerNorm": 2, "Bert": 0, "DistilBert": 0, "Electra": 0, "Albert": 0, "Roberta": 2, "XLMRoberta": 2
}  # fmt: skip


@pytest.fixture
def bert(tmp_path):
    write_model(tmp_path, "Bert")
    return load_trunk(tmp_path, "cpu")


ROWS = [[5, 9, 13, 8], [7, 6], [11, 12, 13, 5, 6, 7, 8]]


def batch(*rows):
    """Rows of ids that run together."""
    return Batch(np.concatenate(rows), np.array([len(row) for row in rows]), pad=0)


def hidden(states):
    """The states of each text."""
    return torch.split(states.hidden_TD, list(states.lengths))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_which_models_are_packed_and_where_their_positions_begin(name, tmp_path):
    write_model(tmp_path, name)
    trunk = load_trunk(tmp_path, "cpu")
    assert trunk.is_packed == (FIRST_POSITIONS[name] is not None)
    assert packing.first_position(trunk.model) == FIRST_POSITIONS[name]


def test_packed_states_are_those_of_a_text_alone(bert):
    for row, hidden_TD in zip(ROWS, hidden(bert(batch(*ROWS))), strict=True):
        (alone_TD,) = bert.model(input_ids=torch.tensor([row])).last_hidden_state
        np.testing.assert_allclose(hidden_TD, alone_TD, rtol=0, atol=1e-5)


def test_a_fixed_shape_changes_no_state(bert):
    expected = hidden(bert(batch(*ROWS)))
    bert.fix_shape(64, 16)
    for got_TD, expected_TD in zip(hidden(bert(batch(*ROWS))), expected, strict=True):
        np.testing.assert_allclose(got_TD, expected_TD, rtol=0, atol=1e-5)


def test_a_fixed_shape_is_one_shape_whatever_the_texts(bert):
    bert.fix_shape(64, 16)
    forward, shapes = bert._forward, set()

    def watched(**given):
        shapes.add((given["input_ids"].shape, given["cu_seq_lens_q"].shape, given["max_length_q"]))
        return forward(**given)

    bert._forward = watched
    for rows in (ROWS, [[5]], [[5, 6]] * 4, [[7] * 16] * 4):
        bert(batch(*rows))
    assert len(shapes) == 1


@pytest.mark.parametrize("shape", [None, (64, 16)])
@pytest.mark.parametrize("name", ["Bert", "Roberta", "XLMRoberta", "Electra"])
def test_the_last_layer_of_the_first_token_alone_gives_its_states(name, shape, tmp_path):
    write_model(tmp_path, name)
    whole, first = (load_trunk(tmp_path, "cpu", first_only=only) for only in (False, True))
    if shape:
        first.fix_shape(*shape)
    states = first(batch(*ROWS))
    assert first.first_only
    assert states.lengths == (1, 1, 1)
    np.testing.assert_allclose(states.first_BD, whole(batch(*ROWS)).first_BD, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["DistilBert", "Albert", "ModernBert"])
def test_layers_of_another_kind_are_computed_for_all_tokens(name, tmp_path):
    write_model(tmp_path, name)
    trunk = load_trunk(tmp_path, "cpu", first_only=True)
    assert not trunk.first_only
    assert trunk(batch(*ROWS)).lengths == (4, 2, 7)


def test_a_layer_with_a_normalisation_before_its_attention_is_computed_for_all_tokens(tmp_path):
    write_model(tmp_path, "RobertaPreLayerNorm")
    assert not load_trunk(tmp_path, "cpu", first_only=True).first_only


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
