"""crossfit's ops around our encoders, on a double of crossfit; and why they cannot be used here."""

import importlib.util
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from curation.classifiers import tiny_bert
from curation.classifiers.encoder import Encoder
from curation.classifiers.fasttext import FastText
from curation.core import frames
from curation.core.errors import ColumnError, ModelError
from curation.inference import crossfit
from curation.inference.tokens import tokenizer_fingerprint
from curation.stages.crossfit import CrossfitScore
from curation.stages.score import Score
from curation.testing import TEXTS, TOLERANCE, check_stage

ROWS = [*TEXTS, None, "", " \n"]


@pytest.fixture
def with_crossfit(cudf_double):  # noqa: ARG001 - a fixture cannot use others but by asking for them
    """In this test ``import crossfit`` gives the double."""
    crossfit._ops.cache_clear()
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "crossfit"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory):
    """A score, and a label with its probability."""
    folder = tmp_path_factory.mktemp("models")
    tiny_bert.write(folder / "labels", labels=("lesson", "other"), seed=1)
    return replace(Encoder.tiny(folder / "score"), name="edu"), Encoder(name="kind", model=str(folder / "labels"))


@pytest.fixture
def host():
    return pd.DataFrame({"text": pd.array(ROWS, dtype="str")}, index=[7, 7, *range(20, 18 + len(ROWS))])


@pytest.mark.usefixtures("with_crossfit")
def test_it_keeps_the_promises_of_a_stage(classifiers, host):
    check_stage(CrossfitScore(classifiers), frames.of("cudf", host))


@pytest.mark.usefixtures("with_crossfit")
def test_its_scores_are_those_of_the_engine_of_this_project(classifiers, host):
    found = frames.on_host(CrossfitScore(classifiers)(frames.of("cudf", host)))
    pd.testing.assert_frame_equal(found, Score(classifiers)(host), rtol=0, atol=TOLERANCE)


@pytest.mark.usefixtures("with_crossfit")
def test_a_frame_without_texts_asks_no_model(classifiers, host):
    frame = frames.of("cudf", host.iloc[-3:])
    assert np.isnan(frames.array(CrossfitScore(classifiers)(frame), "edu")).all()
    assert crossfit._ops.cache_info().currsize == 0


@pytest.mark.usefixtures("with_crossfit")
def test_the_memory_curve_lies_under_the_fingerprint_of_the_trunk_and_not_in_its_directory(classifiers):
    ops = crossfit._ops(classifiers[0], "")
    assert ops.predict.model.curve == f"memory/{ops.parts.trunk}/mem_model.pkl"


@pytest.mark.usefixtures("with_crossfit")
def test_other_content_under_the_same_path_is_another_model(tmp_path, host):
    classifier = Encoder.tiny(tmp_path)
    frame = frames.of("cudf", host)
    before = frames.array(CrossfitScore((classifier,))(frame), "tiny")
    tiny_bert.write(tmp_path, seed=7)
    assert np.nanmax(np.abs(frames.array(CrossfitScore((classifier,))(frame), "tiny") - before)) > TOLERANCE


@pytest.mark.usefixtures("with_crossfit")
def test_it_refuses_what_crossfit_cannot_run(tmp_path, classifiers, host):
    frame = frames.of("cudf", host)
    for classifier in (FastText.tiny(tmp_path), replace(classifiers[0], long_documents="chunks:max")):
        with pytest.raises(ModelError, match="encoders that read the head of long documents, and no others"):
            CrossfitScore((classifier,))(frame)
    with pytest.raises(ColumnError, match="this one is of pandas; use Score"):
        CrossfitScore(classifiers)(host)


def test_the_directory_of_an_encoders_parts_is_where_its_tokenizer_lies(classifiers):
    parts = classifiers[0].parts()
    assert tokenizer_fingerprint(parts.directory) == parts.tokenizer


@pytest.mark.skipif(importlib.util.find_spec("crossfit") is not None, reason="crossfit is installed")
def test_where_it_cannot_be_imported_one_sentence_says_what_fails_and_what_would_be_right():
    assert crossfit.why_not() == (
        "crossfit cannot be used here: import crossfit.op.tokenize fails with ModuleNotFoundError: No module named "
        "'crossfit'; it takes crossfit 0.0.9 beside cuDF 25.08 or older, which still has cudf.core.subword_tokenizer, "
        "or use Score."
    )


@pytest.mark.usefixtures("with_crossfit")
def test_where_it_cannot_be_imported_the_stage_says_so(classifiers, host, monkeypatch):
    monkeypatch.setitem(sys.modules, "crossfit", None)
    with pytest.raises(ModelError, match="crossfit cannot be used here"):
        CrossfitScore(classifiers)(frames.of("cudf", host))
