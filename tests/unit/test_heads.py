from itertools import islice

import numpy as np
import pytest

from curation.training.annotations import Annotations
from curation.training.baselines import baseline_of
from curation.training.heads import Descent, Head, Ridge
from curation.training.recipe import Choice


@pytest.fixture
def toy():
    generator = np.random.default_rng(5)
    features = generator.normal(3.0, [1.0, 5.0, 0.1, 2.0], (200, 4)).astype(np.float32)
    labels = features @ np.array([0.5, -0.2, 4.0, 0.0]) + generator.normal(0, 0.3, 200)
    return features, labels.astype(np.float32)


def test_a_head_is_a_weight_and_a_bias():
    head = Head(np.array([1.0, -2.0], np.float32), 0.5)
    assert head(np.array([[3.0, 1.0], [0.0, 0.0]], np.float32)).tolist() == [1.5, 0.5]


def test_ridge_without_penalty_is_least_squares(toy):
    features, labels = toy
    (head,) = Ridge().heads(features, labels, {"l2": 0.0})
    design = np.column_stack([features, np.ones(len(features))])
    expected = np.linalg.lstsq(design, labels, rcond=None)[0]
    assert [*head.weight, head.bias] == pytest.approx(expected, abs=1e-4)


def test_ridge_penalises_the_weight_of_standardised_features_and_not_the_bias(toy):
    from sklearn.linear_model import Ridge as Reference
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, labels = toy
    (head,) = Ridge().heads(features, labels, {"l2": 0.3})
    reference = make_pipeline(StandardScaler(), Reference(alpha=0.3 * len(labels))).fit(features, labels)
    assert head(features) == pytest.approx(reference.predict(features), abs=1e-4)


def test_a_great_penalty_leaves_the_mean(toy):
    features, labels = toy
    (head,) = Ridge().heads(features, labels, {"l2": 1e9})
    assert head(features) == pytest.approx(np.full(len(labels), labels.mean()), abs=1e-4)


def test_a_constant_feature_does_no_harm(toy):
    features, labels = toy
    features[:, 3] = 7.0
    (head,) = Ridge().heads(features, labels, {"l2": 0.1})
    assert np.isfinite(head(features)).all()


@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_descent_converges_to_ridge(toy, l2):
    features, labels = toy
    (ridge,) = Ridge().heads(features, labels, {"l2": l2})
    *_, last = Descent(num_epochs=300, batch_size=50).heads(features, labels, {"learning_rate": 0.05, "l2": l2})
    assert last(features) == pytest.approx(ridge(features), abs=0.01)


def test_descent_gives_a_head_after_each_epoch_and_the_same_ones_again(toy):
    method, setting = Descent(num_epochs=3, batch_size=64), {"learning_rate": 1e-2, "l2": 0.0}
    first, again = ([head.weight.tolist() for head in method.heads(*toy, setting)] for _ in range(2))
    assert len(first) == 3
    assert first == again


def test_the_learning_rate_ends_near_zero(toy):
    heads = list(Descent(num_epochs=20, batch_size=64).heads(*toy, {"learning_rate": 1e-2, "l2": 0.0}))
    steps = [np.abs(after.bias - before.bias) for before, after in zip(heads, islice(heads, 1, None), strict=False)]
    assert steps[-1] < steps[0] / 5


def test_settings_are_every_pair():
    method = Descent(learning_rate=(1.0, 2.0), l2=(0.0, 0.5))
    assert [tuple(setting.values()) for setting in method.settings] == [(1.0, 0.0), (1.0, 0.5), (2.0, 0.0), (2.0, 0.5)]


def test_wrong_settings_are_all_named():
    assert len(Descent(learning_rate=(), l2=(-1.0,), num_epochs=0, batch_size=0).mistakes()) == 4
    assert len(Ridge(l2=()).mistakes()) == 1
    assert len(Ridge(l2=(0.0, np.nan, 1.0)).mistakes()) == 2
    assert len(Descent(learning_rate=(0.0, -1.0, np.nan, 1e-3)).mistakes()) == 3


def test_length_alone_is_a_baseline_even_where_all_documents_are_equally_long():
    annotations = Annotations(["ab", "cd", "ef"], {}, np.arange(3), num_duplicates=0)
    name, learner = baseline_of(annotations, np.array([0.0, 1.0, 2.0], np.float32))
    model = learner.fit(np.arange(3), Choice(learner.settings[0], 1, 0.0))
    assert (name, learner.scores(model, np.arange(3)).tolist()) == ("length alone", [1.0, 1.0, 1.0])


def test_a_feature_that_is_constant_but_for_noise_has_no_weight(toy):
    features, labels = toy
    features[:, 3] *= 1e-33
    (head,) = Ridge().heads(features, labels, {"l2": 0.1})
    assert head.weight[3] == 0
