import numpy as np
import pytest

from curation.training.encoder import HeadLearner
from curation.training.heads import Ridge
from curation.training.recipe import Choice
from curation.training.selection import Folding, choose, fitted, judge, packaged


@pytest.fixture
def noisy():
    """Forty features, two of which say anything, and few documents: some shrinkage is right."""
    generator = np.random.default_rng(11)
    features = generator.normal(size=(120, 40)).astype(np.float32)
    labels = (features[:, 0] + features[:, 1] + generator.normal(0, 2.0, 120)).astype(np.float32)
    return features, labels


def folding(num_documents):
    return Folding(np.arange(num_documents) // 2, num_folds=4, seed=0)


def test_the_setting_with_most_merit_on_held_out_documents_is_chosen(noisy):
    features, labels = noisy
    learner = HeadLearner(Ridge(l2=(0.0, 1.0, 1e6)), features, labels)
    assert choose(learner, folding(120), np.arange(120)).setting == {"l2": 1.0}


def test_out_of_fold_scores_of_noise_have_no_skill():
    generator = np.random.default_rng(2)
    features = generator.normal(size=(100, 80)).astype(np.float32)
    labels = generator.normal(size=100).astype(np.float32)
    learner = HeadLearner(Ridge(l2=(1e-3,)), features, labels)
    scores = judge(learner, folding(100)).scores
    inside = learner.scores(learner.fit(np.arange(100), Choice({"l2": 1e-3}, 1, 0.0)), np.arange(100))
    assert np.corrcoef(labels, inside)[0, 1] > 0.8
    assert abs(np.corrcoef(labels, scores)[0, 1]) < 0.3


def test_a_choice_inside_a_fold_never_sees_the_held_out_documents(noisy):
    features, labels = noisy
    learner, split = HeadLearner(Ridge(), features, labels), folding(120)
    choices = judge(learner, split).choices
    train, held_out = next(split.split(labels, np.arange(120)))
    learner.features = features.copy()
    learner.features[held_out] = np.nan
    assert choose(learner, split, train) == choices[0]


def test_a_choice_says_its_setting_and_epoch():
    assert (
        str(Choice({"learning_rate": 0.001, "l2": 0.0}, 7, 0.3)) == "learning_rate 0.001, l2 0, stopped after epoch 7"
    )


def test_the_epoch_is_chosen_on_documents_that_are_held_out_and_the_model_learns_from_the_others(noisy):
    features, labels = noisy
    learner = HeadLearner(Ridge(l2=(1.0,)), features, labels)
    held = Folding(np.arange(120) // 2, num_folds=0, seed=0, hold_out=0.1)
    train, held_out = held.held_out(labels, np.arange(120))
    model, choice = fitted(learner, held, np.arange(120))
    assert model.weight.tolist() == learner.fit(train, choice).weight.tolist()
    assert choice.merit == learner.merit(labels[held_out], learner.scores(model, held_out))


def test_without_folds_the_held_out_documents_judge(noisy):
    features, labels = noisy
    held = Folding(np.arange(120) // 2, num_folds=0, seed=0, hold_out=0.1)
    judged = judge(HeadLearner(Ridge(l2=(1.0,)), features, labels), held)
    assert judged.places.tolist() == held.held_out(labels, np.arange(120))[1].tolist()
    assert len(judged.scores) == len(judged.places)


def test_the_model_that_judged_alone_is_the_one_that_is_packaged(noisy):
    features, labels = noisy
    learner = HeadLearner(Ridge(l2=(1.0,)), features, labels)
    alone, folded = (Folding(np.arange(120) // 2, num_folds, seed=0, hold_out=0.1) for num_folds in (0, 4))
    judged = judge(learner, alone)
    assert packaged(learner, alone, judged) == (judged.model, judged.choices[0])
    assert judge(learner, folded).model is None
