"""fastText scores as DCLM's code does: the text on one line, the probability of one label, raw."""

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import fasttext
import numpy as np
import pytest

from curation.classifiers.fasttext import FastText, _labels, normalise
from curation.core.errors import ModelError
from curation.inference.replica import ScoringSpec, load_replica


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    return FastText.tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def model(recipe):
    return fasttext.load_model(f"{recipe.model}/tiny.bin")


@pytest.fixture
def copy(recipe, tmp_path):
    return shutil.copytree(recipe.model, tmp_path / "copy")


def reported(model, line):
    """What the binding says of a line, for one text by itself."""
    return dict(zip(*model.predict(line, k=-1), strict=True))["__label__hq"]


@pytest.mark.parametrize(
    "line_break", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
)
def test_every_line_break_becomes_one_blank(line_break):
    assert normalise(f"  the water{line_break}moves\tto{line_break}{line_break}the sea {line_break}") == (
        "the water moves\tto  the sea"
    )


def test_scores_are_the_reported_probabilities_of_the_label(recipe, model):
    texts = ["the water\nmoves to the sea\n", "click\r\nhere\u2028now", "a prime\x85number", "shoes"]
    lines = ["the water moves to the sea", "click here now", "a prime number", "shoes"]
    expected = [reported(model, line) for line in lines]
    np.testing.assert_array_equal(recipe.load("cpu")(texts)["tiny"], np.array(expected, np.float32))


def test_the_probabilities_of_all_labels_sum_to_one_and_the_constant_that_fasttext_adds(recipe):
    other = FastText(name="tiny", model=recipe.model, label="__label__cc")
    texts = ["the water", "click here", "unheard words"]
    total = recipe.load("cpu")(texts)["tiny"] + other.load("cpu")(texts)["tiny"]
    np.testing.assert_allclose(total, 1 + 2e-5, rtol=0, atol=1e-6)


def test_more_texts_than_one_call_takes_keep_their_order(recipe, model):
    lines = [("water", "shoes", "triangle")[place % 3] * (1 + place % 2) for place in range(600)]
    found = recipe.load("cpu")(lines)["tiny"]
    np.testing.assert_array_equal(found, np.array([reported(model, line) for line in lines], np.float32))


def test_separators_and_marks_of_fasttext_in_a_text_work_as_it_defines_them(recipe, model):
    score = recipe.load("cpu")
    assert score(["\x00"])["tiny"] == np.float32(reported(model, ""))
    assert score(["qqq zzz"])["tiny"] == np.float32(reported(model, "qqq zzz"))
    assert score(["the\x00water"])["tiny"] == score(["the water"])["tiny"]
    assert score(["water </s> click"])["tiny"] == score(["water"])["tiny"]
    assert score(["water __label__cc"])["tiny"] == score(["water"])["tiny"]


def test_blank_texts_are_missing(recipe):
    scores = load_replica([recipe], ScoringSpec())(["", None, " \u2028 ", "water"])["tiny"]
    assert np.isnan(scores).tolist() == [True, True, True, False]


def test_a_probability_above_one_is_kept_and_counted(tmp_path):
    lines = [
        f"{label} {word}\n" for label, word in (("__label__hq", "good"), ("__label__cc", "bad")) for _ in range(50)
    ]
    (tmp_path / "train.txt").write_text("".join(lines))
    trained = fasttext.train_supervised(
        str(tmp_path / "train.txt"), dim=4, epoch=500, lr=1.0, bucket=1, thread=1, verbose=0
    )
    trained.save_model(str(tmp_path / "sure.bin"))
    replica = load_replica([FastText(name="sure", model=str(tmp_path), label="__label__hq")], ScoringSpec())
    scores = replica(["good good good", "bad"])["sure"]
    assert scores[0] > 1
    assert replica.take_tallies()["sure"].num_above_highest == 1


def test_an_unknown_label_is_answered_with_those_there_are(recipe):
    with pytest.raises(ModelError, match="no label 'hq'; its labels are __label__cc, __label__hq"):
        FastText(name="dclm", model=recipe.model, label="hq").fingerprint()


def test_the_model_may_be_named_as_file_or_folder(recipe):
    named = FastText(name="tiny", model=f"{recipe.model}/tiny.bin", label=recipe.label)
    assert named.fingerprint() == recipe.fingerprint()
    assert named.canary() == recipe.canary()


def test_a_canary_is_for_the_label_it_was_measured_with(recipe):
    assert recipe.canary() is not None
    assert replace(recipe, label="__label__cc").canary() is None


def test_labels_are_found_without_loading_the_model(recipe):
    assert set(_labels(Path(recipe.model) / "tiny.bin")) == set(recipe.load("cpu").model.get_labels())


def test_a_folder_with_two_models_is_refused(copy):
    shutil.copy(copy / "tiny.bin", copy / "second.ftz")
    with pytest.raises(ModelError, match=r"holds 2 fastText models .*: \['second\.ftz', 'tiny\.bin'\]"):
        FastText(name="dclm", model=str(copy), label="__label__hq").fingerprint()


def test_file_and_label_are_the_fingerprint(recipe, copy):
    assert FastText(name="x", model=str(copy), label=recipe.label).fingerprint() == recipe.fingerprint()
    assert FastText(name="x", model=str(copy), label="__label__cc").fingerprint() != recipe.fingerprint()
    content = bytearray((copy / "tiny.bin").read_bytes())
    content[-1] ^= 1
    (copy / "tiny.bin").write_bytes(content)
    assert FastText(name="x", model=str(copy), label=recipe.label).fingerprint() != recipe.fingerprint()


@pytest.mark.parametrize("num_bytes", [0, 40, 300, 1000, -1])
def test_a_model_that_is_cut_short_is_refused_before_fasttext_sees_it(num_bytes, copy):
    path = copy / "tiny.bin"
    path.write_bytes(path.read_bytes()[:num_bytes])
    with pytest.raises(ModelError, match=r"is cut short|not a supervised fastText model"):
        FastText(name="dclm", model=str(copy), label="__label__hq").load("cpu")


def test_a_model_of_word_vectors_is_refused(tmp_path):
    (tmp_path / "train.txt").write_text("the water moves to the sea\n" * 20)
    fasttext.train_unsupervised(
        str(tmp_path / "train.txt"), dim=2, minCount=1, bucket=10, thread=1, verbose=0
    ).save_model(str(tmp_path / "vectors.bin"))
    with pytest.raises(ModelError, match="not a supervised fastText model"):
        FastText(name="dclm", model=str(tmp_path / "vectors.bin"), label="__label__hq").fingerprint()


def test_a_quantised_model_is_read_too(tmp_path):
    words = np.random.default_rng(0).choice([f"w{number}" for number in range(900)], (300, 12))
    lines = [f"__label__{'ab'[row % 2]} {' '.join(words[row])}\n" for row in range(len(words))]
    (tmp_path / "train.txt").write_text("".join(lines))
    trained = fasttext.train_supervised(str(tmp_path / "train.txt"), dim=4, epoch=1, bucket=100, thread=1, verbose=0)
    trained.quantize()
    trained.save_model(str(tmp_path / "small.ftz"))
    recipe = FastText(name="small", model=str(tmp_path), label="__label__a")
    assert 0 < recipe.load("cpu")(["w1 w2 w3"])["small"][0] < 1


def test_a_recipe_travels_and_a_scorer_writes_nothing(recipe, capfd):
    pickle.loads(pickle.dumps(recipe)).load("cpu")(["water"])
    assert capfd.readouterr() == ("", "")
