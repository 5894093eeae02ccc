"""Scores of labelled documents, kept beside what they were scored with."""

from dataclasses import replace

import numpy as np
import pytest

from curation.classifiers.encoder import Encoder
from curation.classifiers.fasttext import FastText
from curation.evaluation import scored
from curation.inference.replica import ScoringSpec

TEXTS = [f"the water number {number} moves to the sea" for number in range(600)] + [" "]
IDS = [str(number) for number in range(len(TEXTS))]


@pytest.fixture(scope="module")
def keep(tmp_path_factory):
    return replace(FastText.tiny(tmp_path_factory.mktemp("keep")), name="keep")


@pytest.fixture(scope="module")
def edu(tmp_path_factory):
    return replace(Encoder.tiny(tmp_path_factory.mktemp("edu")), name="edu")


def score(folder, *classifiers, texts=TEXTS, say=None):
    """The columns, and what was said of what had to be scored."""
    said = []
    path = folder / scored.FILE_NAME
    columns = scored.score(path, classifiers, IDS, texts, spec=ScoringSpec(), say=say or said.append)
    return columns, said


def test_scores_are_those_of_the_classifier_and_a_blank_text_has_none(tmp_path, keep):
    columns, _ = score(tmp_path, keep)
    assert np.array_equal(columns["keep"][:-1], keep.load("cpu")(TEXTS[:-1])["keep"])
    assert np.isnan(columns["keep"][-1])


def test_nothing_is_scored_twice(tmp_path, keep):
    first, said = score(tmp_path, keep)
    again, said_again = score(tmp_path, keep)
    assert (len(said), said_again) == (2, [])
    assert np.array_equal(first["keep"], again["keep"], equal_nan=True)


def test_another_name_is_no_other_classifier(tmp_path, keep):
    first, _ = score(tmp_path, keep)
    again, said = score(tmp_path, replace(keep, name="other"))
    assert said == []
    assert np.array_equal(first["keep"], again["other"], equal_nan=True)


def test_a_classifier_that_comes_later_scores_alone(tmp_path, keep, edu):
    score(tmp_path, keep)
    columns, said = score(tmp_path, keep, edu)
    assert [line.split(":")[0] for line in said] == ["edu", "edu"]
    assert np.isfinite(columns["edu"][:-1]).all()
    assert np.isfinite(columns["keep"][:-1]).all()


def test_other_texts_are_scored_anew(tmp_path, keep):
    score(tmp_path, keep)
    assert len(score(tmp_path, keep, texts=[*TEXTS[:-1], "one more"])[1]) == 2


def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path, keep):
    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(tmp_path / "stopped", keep, say=stop)
    stopped, said = score(tmp_path / "stopped", keep)
    whole, _ = score(tmp_path / "whole", keep)
    assert said == ["keep: 601 of 601 documents scored"]
    assert np.array_equal(stopped["keep"], whole["keep"], equal_nan=True)
    files = [(tmp_path / name / scored.FILE_NAME).read_bytes() for name in ("stopped", "whole")]
    assert files[0] == files[1]
