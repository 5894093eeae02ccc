from fractions import Fraction
from math import floor

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.calibration.thresholds import Thresholds, exact_thresholds
from curation.stages.bucket import Bucket
from curation.stages.ensemble import Ensemble
from curation.stages.tier import NEMOTRON_CC, Tier, tier_mistakes
from curation.stages.tiering import TieringSpec, stages

NAMES = ("a", "b", "c")
calm = settings(deadline=None, max_examples=100)

scores = st.floats(-10, 10, width=32).map(np.float32)
cuts = st.lists(scores, min_size=19, max_size=19).map(
    lambda values: tuple(sorted(float(each) + 0.0 for each in values))
)
buckets = st.integers(-1, 19)
rows = st.lists(st.tuples(buckets, buckets, buckets), min_size=1, max_size=30)
weights = st.tuples(*[st.decimals("0.000001", "999999", places=6).map(lambda each: f"{each:f}")] * 3)
ranges = st.lists(st.integers(1, 19), unique=True).map(
    lambda starts: tuple(
        (f"t{low}", (low, high - 1)) for low, high in zip([0, *sorted(starts)], [*sorted(starts), 20], strict=True)
    )
)


@st.composite
def corpora(draw):
    """Scores of three classifiers for the same documents, often tied, and the weights of the documents."""
    num_documents = draw(st.integers(1, 40))
    score = st.sampled_from(draw(st.lists(scores, min_size=1, max_size=20)))
    columns = {name: draw(st.lists(score, min_size=num_documents, max_size=num_documents)) for name in NAMES}
    weights = draw(st.lists(st.integers(1, 10_000), min_size=num_documents, max_size=num_documents))
    return pd.DataFrame(columns, dtype="float32"), np.array(weights)


def bucket_frame(rows):
    return pd.DataFrame(rows, columns=[f"{name}_bucket" for name in NAMES], dtype="int8")


def quality(rows, **settings):
    return Ensemble(NAMES, **settings)(bucket_frame(rows))["quality"].tolist()


@calm
@given(st.lists(scores, min_size=1, max_size=50), cuts)
def test_buckets_are_those_of_numpy_digitize(values, cuts):
    frame = pd.DataFrame({"a": np.array(values, np.float32)})
    assert Bucket((("a", cuts),))(frame)["a_bucket"].tolist() == np.digitize(values, cuts, right=False).tolist()


@calm
@given(st.lists(scores, min_size=1, max_size=50), cuts)
def test_a_higher_score_is_never_in_a_lower_bucket(values, cuts):
    frame = pd.DataFrame({"a": np.sort(np.array(values, np.float32))})
    assert Bucket((("a", cuts),))(frame)["a_bucket"].is_monotonic_increasing


@calm
@given(rows, weights)
def test_a_weighted_ensemble_is_the_floor_of_the_exact_mean(rows, weights):
    exact = [Fraction(weight) for weight in weights]
    expected = [
        floor(sum(w * b for w, b in zip(exact, row, strict=True)) / sum(exact)) if min(row) >= 0 else -1 for row in rows
    ]
    assert quality(rows, method="weighted", weights=weights) == expected


@calm
@given(rows, weights)
def test_ignoring_missing_buckets_gives_the_ensemble_of_the_others(rows, weights):
    def alone(row):
        there = [(Fraction(w), b) for w, b in zip(weights, row, strict=True) if b >= 0]
        return floor(sum(w * b for w, b in there) / sum(w for w, _ in there)) if there else -1

    assert quality(rows, method="weighted", weights=weights, missing="ignore") == [alone(row) for row in rows]
    assert quality(rows, missing="ignore") == [max(row) for row in rows]


@calm
@given(rows)
def test_the_mean_never_exceeds_the_maximum(rows):
    assert all(mean <= high for mean, high in zip(quality(rows, method="mean"), quality(rows), strict=True))


@calm
@given(ranges)
def test_ranges_that_cover_every_bucket_once_give_every_bucket_its_tier(tiers):
    assert tier_mistakes(tiers) == []
    named = Tier(tiers)(pd.DataFrame({"quality": np.arange(20, dtype=np.int8)}))["tier"].tolist()
    assert named == [name for name, (low, high) in tiers for _ in range(low, high + 1)]


@calm
@given(ranges, st.integers(0, 19), st.sampled_from([-1, 1]))
def test_moving_one_end_of_one_range_is_a_mistake(tiers, place, step):
    place %= len(tiers)
    name, (low, high) = tiers[place]
    assert tier_mistakes((*tiers[:place], (name, (low, high + step)), *tiers[place + 1 :]))


@calm
@given(corpora())
def test_shares_of_the_maximum_lie_between_the_bounds_of_three_calibrated_classifiers(corpus):
    frame, weights = corpus
    entries = [exact_thresholds(lambda n=name: [(frame[n].to_numpy(), weights)], name) for name in NAMES]
    tiered = stages(TieringSpec(), Thresholds(tuple(entries)), {name: name for name in NAMES})(frame)
    total = int(weights.sum())
    for bucket in range(19):
        at_most = int(weights[tiered["quality"] <= bucket].sum())
        at_cuts = sum(int(weights[frame[each.name] == np.float32(each.cuts[bucket])].sum()) for each in entries)
        assert 20 * at_most <= (bucket + 1) * total
        assert 20 * (at_most + at_cuts) >= 20 * total - 3 * (19 - bucket) * total


def test_the_default_tiers_cover_every_bucket_once():
    assert tier_mistakes(NEMOTRON_CC) == []
