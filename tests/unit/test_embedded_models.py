"""The models that come with the package: small, described, and giving the scores that they say."""

import json

import pytest

from curation import classifiers
from curation.data.storage import local_path

ENCODER, FASTTEXT = classifiers.kind("encoder"), classifiers.kind("fasttext")
MODELS = [
    ENCODER(name="educational-value", model="embedded:models/educational-value"),
    ENCODER(name="quality", model="embedded:models/quality"),
    FASTTEXT(name="worth-keeping", model="embedded:models/worth-keeping", label="__label__keep"),
]


@pytest.fixture(params=MODELS, ids=lambda model: model.name)
def model(request):
    return request.param


@pytest.fixture
def card(model):
    return json.loads((local_path(model.model) / "card.json").read_text(encoding="utf-8"))


def test_its_canary_is_reproduced(model):
    canary = model.canary()
    assert model.load("cpu")(canary.texts)[model.name].tolist() == pytest.approx(canary.scores, abs=canary.tolerance)


def test_it_is_small(model):
    assert sum(path.stat().st_size for path in local_path(model.model).iterdir()) <= 2_000_000


def test_its_card_names_it_and_says_where_it_comes_from(model, card):
    assert (card["format"], card["name"]) == (1, model.name)
    assert {"licence", "score", "recipe", "data", "metrics"} <= set(card)
    assert (local_path(model.model) / "README.md").read_text(encoding="utf-8").startswith(f"# {model.name}\n")


def test_it_ranks_better_than_length_beyond_the_intervals(card):
    measured = card["metrics"]
    headline = next(iter(measured["length alone"]))
    _, low, _ = measured[card["recipe"]["packaged"]][headline]
    _, _, high = measured["length alone"][headline]
    assert low > high


def test_the_fasttext_model_knows_no_address_or_number_of_anybody():
    import re

    import fasttext

    words = fasttext.load_model(str(local_path("embedded:models/worth-keeping") / "model.ftz")).get_words()
    assert [word for word in words if re.search(r"\S@\S|\d{7,}|://|www\.|/home/", word)] == []
