"""What a frozen trunk makes of documents: read once, in parts that are found again."""

import json

import numpy as np
import pytest

from curation.classifiers import tiny_bert
from curation.training import encoder
from curation.training.annotations import Annotations
from curation.training.encoder import EncoderRecipe, named_from
from curation.training.heads import Ridge

TEXTS = [f"the river {number} carries sand" for number in range(10)]


@pytest.fixture
def trunk(tmp_path):
    tiny_bert.write(tmp_path / "trunk")
    return tmp_path / "trunk"


def features(trunk, scratch, say=None, texts=TEXTS, **settings):
    scratch.mkdir(exist_ok=True)
    recipe = EncoderRecipe("edu", str(trunk), (Ridge(),), max_tokens=64, **settings)
    labels = {"edu": np.zeros(len(texts), np.float32)}
    annotations = Annotations(texts, labels, np.arange(len(texts)), num_duplicates=0)
    return recipe.learners(annotations, scratch, say or (lambda _: None))["ridge"].features


def test_parts_are_kept_as_they_are_read_and_never_read_again(trunk, tmp_path, monkeypatch):
    monkeypatch.setattr(encoder, "_TEXTS_PER_PART", 4)

    def stop_at_the_last(line):
        if "9 to 10" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        features(trunk, tmp_path / "cache", stop_at_the_last)
    said = []
    again = features(trunk, tmp_path / "cache", said.append)
    assert said == [f"{trunk} reads documents 9 to 10 of 10, once."]
    assert np.array_equal(again, features(trunk, tmp_path / "elsewhere"))


def test_another_tokenizer_makes_other_features(trunk, tmp_path):
    one = features(trunk, tmp_path / "cache", texts=["THE River", "a mill"])
    settings = json.loads((trunk / "tokenizer_config.json").read_text("utf-8"))
    (trunk / "tokenizer_config.json").write_text(json.dumps(settings | {"do_lower_case": False}), encoding="utf-8")
    other = features(trunk, tmp_path / "cache", texts=["THE River", "a mill"])
    assert not np.array_equal(one, other)


def test_a_card_names_the_trunk_by_a_way_that_leads_there_through_links_too(trunk, tmp_path):
    (tmp_path / "disk" / "deep" / "runs").mkdir(parents=True)
    (tmp_path / "runs").symlink_to(tmp_path / "disk" / "deep" / "runs")
    output = tmp_path / "runs" / "head"
    assert ((tmp_path / "disk" / "deep" / "runs" / "head") / named_from(output, str(trunk))).resolve() == trunk
