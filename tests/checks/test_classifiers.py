"""Every kind of classifier keeps the promises of the contract; kinds are found by themselves."""

import subprocess
import sys

import pytest

from curation.classifiers import kind, kinds
from curation.core.classifier import Classifier
from curation.core.errors import ConfigError
from curation.testing import check_classifier

KINDS = kinds()


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_keeps_the_promises_of_a_classifier(name, tmp_path):
    check_classifier(KINDS[name], tmp_path)


def test_the_kinds_are_the_files_that_hold_a_classifier():
    assert list(KINDS) == ["encoder", "fasttext"]
    assert all(issubclass(cls, Classifier) for cls in KINDS.values())


def test_an_unknown_kind_is_answered_with_those_there_are():
    with pytest.raises(ConfigError, match="no classifier of kind 'encoderr'; the kinds are encoder, fasttext"):
        kind("encoderr")


@pytest.mark.parametrize("name", KINDS)
def test_a_plan_loads_no_model_library(name, tmp_path):
    recipe = KINDS[name].tiny(tmp_path)
    program = f"""
import sys
import pandas as pd
from {type(recipe).__module__} import {type(recipe).__name__}
from curation.inference.replica import groups
from curation.stages.score import Score

recipe = {recipe!r}
recipe.fingerprint(), recipe.canary(), groups([recipe]).lines()
assert list(Score((recipe,)).meta(pd.DataFrame({{"text": ["a"]}})).columns) == ["text", "tiny"]
assert not {{"torch", "transformers", "fasttext"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
