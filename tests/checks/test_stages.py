"""What every stage that needs no model keeps: pure, row by row, only appending, as promised, and a value itself."""

import pickle

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from curation.calibration.thresholds import ClassifierThresholds, Thresholds
from curation.core import frames
from curation.core.errors import ColumnError
from curation.stages.bucket import Bucket
from curation.stages.ensemble import Ensemble
from curation.stages.tier import Tier
from curation.stages.tiering import TieringSpec, stages

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
    }
    index = [7, 7, 3, 1, 20, 21, 22, 23, 24, 25, 26, 27]
    return pd.DataFrame({name: columns[name] for name in ("id", *stage.reads)}, index=index)


def test_a_stage_appends_the_columns_it_promised(stage, frame):
    result = stage(frame)
    assert list(result.columns) == [*frame.columns, *stage.adds]
    assert {name: frames.dtype_name(result, name) for name in stage.adds} == dict(stage.adds)


def test_a_stage_keeps_rows_and_index_and_the_frame_it_was_given(stage, frame):
    before = frame.copy(deep=True)
    result = stage(frame)
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_frame_equal(result[list(frame.columns)], before)


def test_a_stage_gives_every_row_what_it_gives_that_row_alone(stage, frame):
    alone = pd.concat([stage(frame.iloc[[place]]) for place in range(len(frame))])
    pd.testing.assert_frame_equal(stage(frame), alone)


def test_a_stage_takes_a_frame_without_rows(stage, frame):
    result = stage(frame.iloc[:0])
    assert len(result) == 0
    assert list(result.columns) == [*frame.columns, *stage.adds]


def test_a_stage_knows_its_result_without_computing_it(stage, frame):
    pd.testing.assert_frame_equal(stage.meta(frame), stage(frame).iloc[:0])


def test_a_stage_is_a_value(stage):
    copy = pickle.loads(pickle.dumps(stage))
    assert copy == stage
    assert hash(copy) == hash(stage)
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
