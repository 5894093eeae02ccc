"""Under which licence a model is, as far as its files or the catalog say it."""

import json
from dataclasses import replace

from curation.classifiers import catalog
from curation.classifiers.bundle import write_bundle
from curation.classifiers.encoder import Encoder
from curation.classifiers.licence import licence_of


def test_a_card_says_it():
    assert licence_of(Encoder(name="edu", model="embedded:models/educational-value")) == "Apache-2.0"


def test_a_bundle_says_it(tmp_path):
    folder = tmp_path / "org--edu"
    folder.mkdir()
    write_bundle(folder, "org/edu", "0" * 40, "cc-by-4.0")
    assert licence_of(Encoder(name="edu", model="org/edu", bundles=str(tmp_path))) == "cc-by-4.0"


def test_the_catalog_says_it_of_what_is_not_here(tmp_path):
    assert licence_of(replace(catalog.entry("dclm").classifier, bundles=str(tmp_path))) == "mit"


def test_where_nothing_says_it_it_is_empty(tmp_path):
    (tmp_path / "card.json").write_text(json.dumps({"format": 1}))
    assert licence_of(Encoder(name="edu", model=str(tmp_path))) == ""
    assert licence_of(Encoder(name="edu", model=str(tmp_path / "gone"))) == ""
