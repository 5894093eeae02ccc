"""Scores on CUDA, of frames of pandas and of cuDF, beside those of frames of pandas on the CPU."""

from dataclasses import replace
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
import torch
from input_files import Everything, spec_of

from curation.calibration.certificate import certify, sample_cuts
from curation.classifiers.encoder import Encoder
from curation.classifiers.fasttext import FastText
from curation.core import frames
from curation.inference.replica import ScoringSpec
from curation.stages.bucket import Bucket
from curation.stages.score import Score
from curation.testing import TOLERANCE, check_stage

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here"),
]

CLASSIFIERS = (
    Encoder(name="educational-value", model="embedded:models/educational-value"),
    Encoder(name="text-quality", model="embedded:models/quality"),
    FastText(name="worth-keeping", model="embedded:models/worth-keeping", label="__label__keep"),
)


@pytest.fixture(scope="module")
def host():
    """The embedded documents that could be read."""
    found = Everything(spec_of(files("curation") / "embedded" / "documents"))
    return pd.concat(found.frames, ignore_index=True)[["text", "n_bytes"]]


@pytest.fixture(scope="module")
def expected(host):
    return Score(CLASSIFIERS, scoring=ScoringSpec(device="cpu"))(host)


def on_cuda(precision):
    movable = (replace(each, precision=precision) if isinstance(each, Encoder) else each for each in CLASSIFIERS)
    return Score(tuple(movable), scoring=ScoringSpec(device="cuda"))


def buckets(name, scored):
    cuts = sample_cuts(scored[name], scored["n_bytes"])
    return Bucket(((name, cuts),))(scored)[f"{name}_bucket"]


@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_scores_are_those_of_the_cpu_within_the_limit_of_the_certificate(host, expected, to_frame, precision):
    found = frames.on_host(on_cuda(precision)(to_frame(host)))
    for each in CLASSIFIERS:
        pairs = [(scored[each.name], buckets(each.name, scored)) for scored in (expected, found)]
        scores, ranks = zip(*pairs, strict=True)
        certificate = certify(scores, ranks, ranks)
        assert certificate.is_good, f"{each.name}: {certificate}"


def test_the_library_of_a_frame_changes_no_score(host, to_cudf):
    stage = on_cuda("fast")
    found, of_pandas = frames.on_host(stage(to_cudf(host))), stage(host)
    for name in stage.adds:
        np.testing.assert_allclose(found[name], of_pandas[name], rtol=0, atol=TOLERANCE)


def test_scoring_on_cuda_keeps_the_promises_of_a_stage(host, to_frame):
    check_stage(on_cuda("exact"), to_frame(host.head(12)))
