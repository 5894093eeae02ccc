"""The token budget is the usual one unless another is clearly faster, and is remembered."""

import json

import pytest

from curation.classifiers import tiny_bert
from curation.classifiers.encoder import Encoder
from curation.inference import budget
from curation.inference.replica import ScoringSpec, load_replica


@pytest.mark.parametrize(
    ("speeds", "expected"),
    [
        ({1: 100, 2: 102, 3: 90}, 1),
        ({1: 100, 2: 110, 3: 90}, 2),
        ({1: 0, 2: 50, 3: 90}, 3),
        ({1: 0, 2: 0, 3: 0}, 1),
    ],
)
def test_another_budget_must_be_clearly_faster(speeds, expected):
    assert budget.fastest((1, 2, 3), speeds.get, seconds=60) == expected


def test_what_does_not_fit_is_not_tried_again():
    tried = []
    budget.fastest((1, 2), lambda each: (tried.append(each), float(each == 1))[1], seconds=60)
    assert tried == [1, 2, 1]


def test_nothing_is_tried_when_the_time_is_over():
    assert budget.fastest((1, 2), lambda _: pytest.fail("tried"), seconds=0) == 1


@pytest.mark.parametrize("tokens", [100, 2048, 5000])
def test_a_probe_has_about_as_many_tokens_as_its_budget(tokens):
    batch = budget._batch(tokens, 512)
    assert 0.75 * tokens < len(batch.ids) <= max(tokens, 512)
    assert batch.lengths.max() <= 512


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "curation" / "token_budgets.json"


@pytest.fixture
def replica(tmp_path):
    tiny_bert.write(tmp_path / "model")
    return load_replica([Encoder(name="a", model=str(tmp_path / "model"))], ScoringSpec())


def test_a_replica_finds_its_budget_once(replica, cache, monkeypatch):
    found = replica.find_budget()
    assert found in budget.CPU_BUDGETS
    monkeypatch.setattr(budget, "fastest", lambda *_: pytest.fail("measured again"))
    assert replica.find_budget() == found
    assert list(json.loads(cache.read_text()).values()) == [found]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": "b"}'])
def test_a_damaged_cache_is_no_obstacle(replica, cache, content):
    cache.parent.mkdir(parents=True)
    cache.write_text(content)
    assert replica.find_budget() in budget.CPU_BUDGETS


@pytest.mark.usefixtures("cache")
def test_other_threads_or_precisions_are_measured_anew(replica, tmp_path):
    replica.find_budget()
    recipe = Encoder(name="a", model=str(tmp_path / "model"), precision="fast")
    load_replica([recipe], ScoringSpec()).find_budget()
    assert len(budget._remembered()) == 2


def test_without_encoders_there_is_nothing_to_measure():
    assert load_replica([], ScoringSpec(device="cpu")).find_budget() == budget.usual_budget("cpu")
