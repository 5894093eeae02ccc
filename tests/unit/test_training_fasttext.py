import numpy as np
import pytest

from curation.training.annotations import Annotations
from curation.training.fasttext import FastTextRecipe
from curation.training.recipe import Choice

CHOICE = Choice({"learning_rate": 0.5, "num_epochs": 30}, 1, 0.0)


@pytest.fixture
def annotations():
    """Two subjects, one worth keeping; line breaks that only `splitlines` knows."""
    texts = [
        f"the river\x85carries sand number {i} to the sea" if i % 2 else f"cheap shoes\u2028buy number {i} now"
        for i in range(40)
    ]
    quality = np.array([3.0 if i % 2 else 1.0 for i in range(40)], np.float32)
    labels = {"quality": quality, "edu": np.zeros(40, np.float32)}
    return Annotations(texts, labels, np.arange(40), num_duplicates=0)


@pytest.fixture
def learner(annotations, tmp_path):
    recipe = FastTextRecipe(keep=(("quality", 3.0),), dim=4, num_buckets=1000, quantised=True)
    return recipe.learners(annotations, tmp_path, print)["fasttext"]


def test_a_document_is_worth_keeping_when_one_label_reaches_its_least_value(annotations):
    annotations.labels["edu"][:] = np.arange(40) % 4
    recipe = FastTextRecipe(keep=(("quality", 3.0), ("edu", 2.0)))
    assert recipe.targets(annotations)[:4].tolist() == [0.0, 1.0, 1.0, 1.0]
    assert recipe.rule == "quality ≥ 3 or edu ≥ 2"


def test_it_learns_what_is_there(learner):
    train, held_out = np.arange(30), np.arange(30, 40)
    assert learner.merit(learner.targets[held_out], learner.trace(train, held_out, CHOICE.setting)[0]) == 1.0


def test_equal_input_gives_an_equal_model(learner, tmp_path):
    learner.save(learner.fit(np.arange(40), CHOICE), tmp_path)
    first = (tmp_path / "model.ftz").read_bytes()
    learner.save(learner.fit(np.arange(40), CHOICE), tmp_path)
    assert (tmp_path / "model.ftz").read_bytes() == first


def test_the_quantised_model_scores_as_the_packaged_classifier_does(learner, annotations, tmp_path):
    model = learner.fit(np.arange(40), CHOICE)
    learner.save(model, tmp_path)
    scorer = learner.recipe.classifier("keep", tmp_path).load("cpu")
    assert scorer(annotations.texts)["keep"].tolist() == learner.scores(model, np.arange(40)).tolist()


def test_a_label_that_training_never_saw_has_probability_zero(learner):
    model = learner.fit(np.flatnonzero(learner.targets == 0), CHOICE)
    assert learner.scores(model, np.arange(4)).tolist() == [0.0, 0.0, 0.0, 0.0]


def test_wrong_settings_are_all_named():
    recipe = FastTextRecipe(keep=(), learning_rate=(), dim=0, num_buckets=10, char_ngrams=(5, 3), quantised=True)
    assert len(recipe.mistakes()) == 5


def test_autotune_searches_by_itself_and_says_what_it_found(annotations, tmp_path):
    recipe = FastTextRecipe(keep=(("quality", 3.0),), autotune_s=1)
    learner = recipe.learners(annotations, tmp_path, print)["fasttext"]
    model, choice = learner.best(np.arange(30), np.arange(30, 40))
    assert set(choice.setting) == {"learning_rate", "num_epochs", "dim", "ngrams"}
    assert choice.merit == learner.merit(learner.targets[30:], learner.scores(model, np.arange(30, 40)))


def test_a_model_is_whole_unless_it_is_to_be_quantised(annotations, tmp_path):
    learner = FastTextRecipe(keep=(("quality", 3.0),), dim=4, num_buckets=10).learners(annotations, tmp_path, print)
    learner["fasttext"].save(learner["fasttext"].fit(np.arange(40), CHOICE), tmp_path)
    assert (tmp_path / "model.bin").is_file()


def test_autotune_and_settings_to_choose_from_exclude_each_other():
    recipe = FastTextRecipe(keep=(("quality", 3.0),), autotune_s=1, num_epochs=(5, 10))
    assert len(recipe.mistakes()) == 1
