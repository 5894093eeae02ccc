from dataclasses import replace

import numpy as np
import pytest

from curation.classifiers.fasttext import normalise
from curation.training.annotations import Annotations
from curation.training.fasttext import FastTextRecipe, as_read
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
    searched = {"learning_rate", "num_epochs", "dim", "ngrams", "num_buckets", "shortest", "longest"}
    assert set(choice.setting) == searched
    assert choice.merit == learner.merit(learner.targets[30:], learner.scores(model, np.arange(30, 40)))


def test_a_model_is_whole_unless_it_is_to_be_quantised(annotations, tmp_path):
    learner = FastTextRecipe(keep=(("quality", 3.0),), dim=4, num_buckets=10).learners(annotations, tmp_path, print)
    learner["fasttext"].save(learner["fasttext"].fit(np.arange(40), CHOICE), tmp_path)
    assert (tmp_path / "model.bin").is_file()


def test_autotune_and_settings_to_choose_from_exclude_each_other():
    recipe = FastTextRecipe(keep=(("quality", 3.0),), autotune_s=1, num_epochs=(5, 10))
    assert len(recipe.mistakes()) == 1


def test_words_that_fasttext_takes_for_labels_or_for_an_end_teach_nothing(annotations, tmp_path):
    honest = annotations.texts
    hostile = [
        f"__label__spam {text}\t__label__rest </s>{' __label__keep' if i % 3 else ''} and more"
        for i, text in enumerate(honest)
    ]
    models = []
    for texts in (honest, hostile):
        said = []
        recipe = FastTextRecipe(keep=(("quality", 3.0),), dim=4, num_buckets=1000)
        learner = recipe.learners(replace(annotations, texts=texts), tmp_path, said.append)["fasttext"]
        models.append(learner.fit(np.arange(40), CHOICE))
    assert sorted(models[1].labels) == ["__label__keep", "__label__rest"]
    assert models[1].words == models[0].words
    assert said == ["40 documents hold __label__… or </s>: learnt without that, which is how fastText scores them."]


@pytest.mark.parametrize(
    "text",
    [
        "the river __label__keep carries sand",
        "the river </s> buy cheap shoes",
        "the\0__label__other river\x0bcarries\x0csand",
        "sand x__label__keep a</s> river </s>",
        "</s>",
        "",
    ],
)
def test_what_is_learnt_of_a_line_is_what_is_scored_of_it(learner, text):
    model = learner.fit(np.arange(40), CHOICE)
    assert model.predict(as_read(normalise(text)), k=-1)[1].tolist() == model.predict(normalise(text), k=-1)[1].tolist()


def test_settings_that_a_search_replaces_are_refused():
    recipe = FastTextRecipe(
        keep=(("quality", 3.0),), autotune_s=1, dim=50, num_buckets=10, char_ngrams=(2, 3), learning_rate=(0.3,)
    )
    assert [mistake.split(":")[0] for mistake in recipe.mistakes()] == [
        "recipe.learning_rate",
        "recipe.dim",
        "recipe.num_buckets",
        "recipe.char_ngrams",
    ]


def test_the_card_says_that_searches_and_threads_give_other_models():
    assert "search of its own" in FastTextRecipe(keep=(("quality", 3.0),), autotune_s=1).metric_notes
    assert "never give the same model" in FastTextRecipe(keep=(("quality", 3.0),), num_threads=4).metric_notes
