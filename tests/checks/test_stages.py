"""What every stage that needs no model keeps: pure, row by row, only appending, as promised, and a value itself."""

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from curation.calibration.thresholds import ClassifierThresholds, Thresholds
from curation.core.errors import ColumnError
from curation.core.frames import dtype_name, on_host
from curation.stages.bucket import Bucket, GroupedBucket
from curation.stages.ensemble import Ensemble
from curation.stages.keep import Keep
from curation.stages.tier import Tier
from curation.stages.tiering import TieringSpec, stages
from curation.testing import check_stage

CUTS = tuple(np.linspace(-1, 1, 19, dtype=np.float32).tolist())
PIPELINE = stages(
    TieringSpec(missing="ignore"),
    Thresholds((ClassifierThresholds("edu", CUTS), ClassifierThresholds("web", CUTS))),
    {"edu": "edu", "web": "web"},
)
STAGES = [
    Bucket((("edu", CUTS),)),
    Ensemble(("a", "b")),
    Ensemble(("a", "b"), "mean", missing="ignore"),
    Ensemble(("a", "b"), "weighted", ("0.25", "1")),
    Tier(),
    Tier(has_rule=True),
    GroupedBucket("lang", (("edu", (("", CUTS), ("en", CUTS[:1] * 19))),)),
    Keep("edu > 0 and lang == 'en'", ("edu", "lang")),
    PIPELINE,
]


@pytest.fixture(params=STAGES, ids=lambda stage: type(stage).__name__)
def stage(request):
    return request.param


@pytest.fixture
def frame(stage):
    """Twelve rows under an index with gaps and repetitions, with the columns that the stage reads."""
    generator = np.random.default_rng(0)
    scores = generator.normal(size=(12, 2)).astype(np.float32)
    scores[3, 0] = np.nan
    columns = {
        "id": [f"document {number}" for number in range(12)],
        "edu": scores[:, 0],
        "web": scores[:, 1],
        "a_bucket": generator.integers(-1, 20, 12).astype(np.int8),
        "b_bucket": generator.integers(-1, 20, 12).astype(np.int8),
        "quality": generator.integers(-1, 20, 12).astype(np.int8),
        "kept": generator.random(12) < 0.5,
        "lang": ["en", None, "zh"] * 4,
    }
    index = [7, 7, 3, 1, 20, 21, 22, 23, 24, 25, 26, 27]
    return pd.DataFrame({name: columns[name] for name in ("id", *stage.reads)}, index=index)


def test_every_stage_keeps_the_promises_of_a_stage(stage, frame, to_frame):
    check_stage(stage, to_frame(frame))


def test_every_stage_adds_to_frames_of_both_libraries_the_same(stage, frame, to_cudf):
    pd.testing.assert_frame_equal(on_host(stage(to_cudf(frame))), stage(frame))


def test_every_stage_takes_a_frame_without_rows(stage, frame, to_frame):
    result = stage(to_frame(frame.iloc[:0]))
    assert {name: dtype_name(result, name) for name in stage.adds} == stage.adds
    assert len(result) == 0


def test_stages_with_other_settings_are_other_values():
    assert len(set(STAGES)) == len(STAGES)


def test_a_stage_names_the_column_that_is_missing(stage, frame):
    with pytest.raises(ColumnError, match=stage.reads[0]):
        stage(frame.drop(columns=stage.reads[0]))


def test_a_stage_refuses_to_overwrite_a_column(stage, frame):
    name = next(iter(stage.adds))
    with pytest.raises(ColumnError, match=f"would overwrite the columns .*{name}"):
        stage(frame.assign(**{name: 0}))


def test_a_stage_works_in_a_dask_graph_of_somebody_else(stage, frame):
    partitioned = dd.from_pandas(frame.reset_index(drop=True), npartitions=3)
    result = partitioned.map_partitions(stage, meta=stage.meta(partitioned._meta)).compute(scheduler="synchronous")
    added = list(stage.adds)  # Dask turns the strings that it was given into its own
    pd.testing.assert_frame_equal(result[added], stage(frame.reset_index(drop=True))[added])
