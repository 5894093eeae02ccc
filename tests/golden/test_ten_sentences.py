"""The published thresholds and buckets of ten sentences (NeMo Curator's ensemble notebook), from their scores alone.

The scores of the first five sentences are published. The other five are one assignment, among several, of the values
in the published thresholds that reproduces all 57 of them; its ensemble is a regression vector, not a claim.
"""

import numpy as np
import pandas as pd
import pytest

from curation.calibration.thresholds import Thresholds, exact_thresholds
from curation.stages.tiering import TieringSpec, stages

NUM_BYTES = np.array([68, 78, 82, 89, 79, 93, 83, 76, 86, 86])

SCORES = {
    "nemotron": [
        1.3916015625, 0.88916015625, 1.345703125, 1.7275390625, 0.2486572265625,
        1.3994140625, 0.85400390625, 0.8427734375, 0.81884765625, 1.2880859375,
    ],
    "mixtral": [
        1.34765625, 0.82763671875, 1.4208984375, 1.572265625, 0.34521484375,
        0.9501953125, 1.0234375, 0.7822265625, 1.42578125, 1.783203125,
    ],
    "fasttext": [
        0.9990114569664001, 0.9962636232376099, 9.026021871250123e-05, 0.00037683334085159004, 0.9918678402900696,
        0.00011704424832714722, 0.0006898035062476993, 0.9999129772186279, 0.9919403195381165, 0.9997979998588562,
    ],
}  # fmt: skip

RUNS = {
    "nemotron": [
        (1, 0.2486572265625), (3, 0.81884765625), (1, 0.8427734375), (2, 0.85400390625), (2, 0.88916015625),
        (2, 1.2880859375), (2, 1.345703125), (2, 1.3916015625), (2, 1.3994140625), (2, 1.7275390625),
    ],
    "mixtral": [
        (1, 0.34521484375), (2, 0.7822265625), (2, 0.82763671875), (2, 0.9501953125), (2, 1.0234375),
        (2, 1.34765625), (2, 1.4208984375), (2, 1.42578125), (2, 1.572265625), (2, 1.783203125),
    ],
    "fasttext": [
        (2, 9.026021871250123e-05), (2, 0.00011704424832714722), (2, 0.00037683334085159004),
        (2, 0.0006898035062476993), (2, 0.9918678402900696), (2, 0.9919403195381165), (2, 0.9962636232376099),
        (2, 0.9990114569664001), (2, 0.9997979998588562), (1, 0.9999129772186279),
    ],
}  # fmt: skip
"""The published thresholds: how many percentiles in a row share one, from 5 to 95."""

PUBLISHED = {name: tuple(cut for count, cut in runs for _ in range(count)) for name, runs in RUNS.items()}


def thresholds(weights):
    entries = [exact_thresholds(lambda s=s: [(np.float32(s), weights)], name) for name, s in SCORES.items()]
    return Thresholds(tuple(entries))


@pytest.fixture(scope="module")
def tiered():
    pipeline = stages(TieringSpec(), thresholds(NUM_BYTES), {name: name for name in SCORES})
    return pipeline(pd.DataFrame({name: np.float32(scores) for name, scores in SCORES.items()}))


def test_the_scores_and_published_thresholds_are_exact_float32_values():
    for name, scores in SCORES.items():
        assert np.float32(scores).astype(float).tolist() == scores
        assert len(PUBLISHED[name]) == 19
        assert set(PUBLISHED[name]) == set(scores)


@pytest.mark.parametrize("name", SCORES)
def test_all_published_thresholds_are_reproduced(name):
    assert thresholds(NUM_BYTES).cuts(name) == PUBLISHED[name]


@pytest.mark.parametrize(("name", "same"), [("nemotron", False), ("mixtral", False), ("fasttext", True)])
def test_documents_must_weigh_their_bytes_for_that(name, same):
    assert (thresholds(np.ones(10, np.int64)).cuts(name) == PUBLISHED[name]) is same


@pytest.mark.parametrize(
    ("name", "published"),
    [("nemotron", [15, 9, 13, 19, 1]), ("mixtral", [11, 5, 13, 17, 1]), ("fasttext", [16, 14, 2, 6, 10])],
)
def test_the_published_buckets_of_the_first_five_are_reproduced(tiered, name, published):
    assert tiered[f"{name}_bucket"].tolist()[:5] == published


def test_the_published_ensemble_of_the_first_five_is_reproduced(tiered):
    assert tiered["quality"].tolist()[:5] == [16, 14, 13, 19, 10]


def test_the_ensemble_of_all_ten_has_not_moved(tiered):
    assert tiered["quality"].tolist() == [16, 14, 13, 19, 10, 17, 9, 19, 15, 19]
