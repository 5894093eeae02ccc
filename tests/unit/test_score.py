"""The Score stage: in a notebook, in a Dask graph, and without a model where only columns are asked for."""

from dataclasses import replace

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from curation.classifiers import tiny_bert
from curation.classifiers.encoder import Encoder
from curation.classifiers.fasttext import FastText
from curation.core.errors import ColumnError
from curation.core.frames import array, dtype_name, on_host, texts
from curation.inference.replica import ScoringSpec
from curation.stages.score import Score
from curation.testing import check_stage

TEXTS = ["the river and the mill", None, "water " * 90, "", "click here", "x", " ", "trees; light!", "水 is water"]


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return replace(Encoder.tiny(folder / "a"), name="edu"), replace(FastText.tiny(folder / "b"), name="dclm")


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """A classifier with a column of strings."""
    folder = tmp_path_factory.mktemp("labels")
    tiny_bert.write(folder, labels=("lesson", "other"))
    return Encoder(name="kind", model=str(folder))


@pytest.fixture
def frame():
    return pd.DataFrame({"id": range(len(TEXTS)), "text": pd.array(TEXTS, dtype="str")}, index=range(5, 5 + len(TEXTS)))


def test_it_keeps_the_promises_of_a_stage(classifiers, frame, to_frame):
    check_stage(Score(classifiers), to_frame(frame))


def test_frames_of_both_libraries_get_the_same_scores(classifiers, frame, to_cudf):
    stage = Score(classifiers)
    pd.testing.assert_frame_equal(on_host(stage(to_cudf(frame))), stage(frame))


def test_a_frame_of_which_every_text_is_missing_has_missing_labels_and_scores(labels, frame, to_frame):
    result = Score((labels,))(to_frame(frame.assign(text=pd.array([None] * len(frame), dtype="str"))))
    assert {name: dtype_name(result, name) for name in ("kind", "kind_probability")} == labels.columns
    assert texts(result, "kind") == [None] * len(frame)
    assert np.isnan(array(result, "kind_probability")).all()


def test_a_frame_without_rows_gets_columns_without_rows(classifiers, labels, frame, to_frame):
    stage = Score((*classifiers, labels))
    result = stage(to_frame(frame.iloc[:0]))
    assert {name: dtype_name(result, name) for name in stage.adds} == stage.adds
    assert len(result) == 0


def test_every_classifier_adds_its_columns_in_order(classifiers, frame):
    result = Score(classifiers)(frame)
    assert list(result.columns) == ["id", "text", "edu", "dclm"]
    assert (
        result["edu"].isna().tolist() == result["dclm"].isna().tolist() == [not (text or "").strip() for text in TEXTS]
    )


def test_the_text_may_have_another_name(classifiers, frame):
    result = Score(classifiers, text_column="body")(frame.rename(columns={"text": "body"}))
    np.testing.assert_array_equal(result["edu"], Score(classifiers)(frame)["edu"])


def test_it_works_in_a_dask_graph_of_somebody_else(classifiers, frame):
    stage = Score(classifiers, scoring=ScoringSpec(token_budget=128))
    partitioned = dd.from_pandas(frame, npartitions=3)
    scored = partitioned.map_partitions(stage, meta=stage.meta(partitioned._meta))
    assert scored.dtypes["edu"] == np.float32
    found, expected = scored.compute(scheduler="threads"), stage(frame)
    for column in ("edu", "dclm"):
        np.testing.assert_allclose(found[column], expected[column], rtol=0, atol=1e-5)


def test_its_columns_are_known_though_the_weights_are_gone(tmp_path, frame):
    classifier = Encoder.tiny(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    assert list(Score((classifier,)).meta(frame).columns) == ["id", "text", "tiny"]


def test_two_classifiers_of_one_name_are_refused(classifiers):
    with pytest.raises(ColumnError, match="gives \\['edu'\\]"):
        Score((classifiers[0], replace(classifiers[1], name="edu")))
