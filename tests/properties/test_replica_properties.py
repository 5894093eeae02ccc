"""Scores equal the model-card loop however texts are batched, ordered and partitioned."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import card_loop

from curation.classifiers import tiny_bert
from curation.classifiers.encoder import Encoder
from curation.inference.replica import ScoringSpec, load_replica

WORDS = ("the", "water", "mill", "river", "x", "numbers", "1", "2", "(light)", "水", "trees!")
TEXTS = [" ".join(np.random.default_rng(place).choice(WORDS, 1 + place * place % 97)) for place in range(40)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    directory = tmp_path_factory.mktemp("model")
    tiny_bert.write(directory)
    expected = card_loop(directory, TEXTS, max_length=tiny_bert.MAX_TOKENS, batch_size=7)[:, 0]
    return Encoder(name="score", model=str(directory)), expected


@settings(max_examples=25, deadline=None)
@given(
    token_budget=st.integers(1, 4000),
    order=st.permutations(range(len(TEXTS))),
    cuts=st.sets(st.integers(1, len(TEXTS) - 1), max_size=5),
)
def test_scores_do_not_depend_on_batching_order_or_partitioning(model, token_budget, order, cuts):
    recipe, expected = model
    replica = load_replica([recipe], ScoringSpec(token_budget=token_budget))
    partitions = np.split(np.array(order), sorted(cuts))
    scores = np.concatenate([replica([TEXTS[place] for place in partition])["score"] for partition in partitions])
    np.testing.assert_allclose(scores, expected[order], rtol=0, atol=1e-5)
    assert np.ptp(expected) > 0.1
