"""Classifiers of XLM-RoBERTa's kind, as bge-m3's: sentencepiece ids, 2,048 tokens, Chinese and English."""

import numpy as np
import pytest
from reference import card_loop

from curation.classifiers import tiny_unigram
from curation.classifiers.encoder import Encoder
from curation.inference import packing
from curation.inference.replica import ScoringSpec, load_replica
from curation.inference.trunk import load_model

LABELS = tuple(f"行业_{number}" for number in range(31))
TEXTS = (
    "The water of the river drives the mill.",
    "春天。水车在河边。我们的学校有老师和数字。",
    "水车 and the mill。春天 in the school",
    "我们" * 5000,
    "the river and the water " * 900,
    "x",
    "数字\n1\u30002\u20283",
)


@pytest.fixture(scope="module")
def rater(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rater")
    tiny_unigram.write_xlm_roberta(folder)
    return folder


@pytest.fixture(scope="module")
def domain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("domain")
    tiny_unigram.write_xlm_roberta(folder, labels=LABELS, seed=1)
    return folder


def scored(*recipes):
    return load_replica(recipes, ScoringSpec())(TEXTS)


def test_a_model_reads_its_2048_tokens_without_being_told(rater):
    assert Encoder("rater", str(rater)).parts().max_tokens == 2048


def test_scores_equal_the_model_card_loop_to_the_last_of_2048_tokens(rater):
    expected = card_loop(rater, list(TEXTS), max_length=2048, batch_size=3)[:, 0]
    np.testing.assert_allclose(scored(Encoder("rater", str(rater)))["rater"], expected, rtol=0, atol=1e-5)
    assert np.ptp(expected) > 0.1


def test_what_lies_behind_512_tokens_counts(rater):
    short, long = (scored(Encoder("rater", str(rater), max_tokens=number))["rater"] for number in (512, 2048))
    changed = np.abs(short - long) > 1e-4
    assert changed.tolist() == [False, False, False, True, True, False, False]


def test_positions_are_counted_from_the_one_after_the_padding_id(rater):
    from transformers import AutoModel

    model, _ = load_model(AutoModel, rater)
    assert packing.first_position(model) == model.config.pad_token_id + 1 == 2


def test_the_last_of_31_labels_can_win_and_every_label_comes_with_its_probability(domain):
    logits = card_loop(domain, list(TEXTS), max_length=2048, batch_size=3).astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    columns = scored(Encoder("domain", str(domain)))
    assert columns["domain"].tolist() == [LABELS[place] for place in expected.argmax(1)]
    np.testing.assert_allclose(columns["domain_probability"], expected.max(1), rtol=0, atol=1e-5)
    assert len(set(columns["domain"])) > 1


def test_a_rater_and_a_domain_model_are_tokenised_once_and_score_as_alone(rater, domain):
    recipes = Encoder("rater", str(rater)), Encoder("domain", str(domain))
    assert recipes[0].parts().tokenizer == recipes[1].parts().tokenizer
    together = scored(*recipes)
    for recipe in recipes:
        for name, values in scored(recipe).items():
            assert together[name].tolist() == values.tolist()
