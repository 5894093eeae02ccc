"""Frames of pandas and of cuDF: what differs between them, and that the double refuses what cuDF refuses."""

import importlib.util

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from curation.core import frames
from curation.core.errors import ConfigError
from curation.data.inputs import InputSpec
from curation.execution import checks
from curation.execution.spec import RunSpec
from curation.inference.replica import ScoringSpec

TEXTS = ["a", None, "", "水 \x00 is water"]
SCORES = np.array([0.5, np.nan, -0.0, np.inf], np.float32)


@pytest.fixture
def host():
    """Four rows under an index with gaps and repetitions."""
    return pd.DataFrame({"text": pd.array(TEXTS, dtype="str"), "score": SCORES}, index=[7, 7, 3, 20])


def test_a_frame_knows_its_library(host, to_cudf):
    assert frames.library(host).__name__ == "pandas"
    assert frames.library(to_cudf(host)).__name__ == "cudf"


def test_a_frame_comes_back_to_the_host_as_it_was(host, to_frame):
    pd.testing.assert_frame_equal(frames.on_host(to_frame(host)), host)


def test_a_missing_text_is_none(host, to_frame):
    assert frames.texts(to_frame(host), "text") == TEXTS


def test_what_is_no_string_is_no_text(host, to_frame):
    assert frames.texts(to_frame(host.assign(text=[1, 2, 3, 4])), "text") == [None] * 4


def test_a_missing_score_is_nan(host, to_frame):
    np.testing.assert_array_equal(frames.array(to_frame(host), "score"), SCORES)
    assert frames.array(to_frame(host), "score").dtype == np.float32


@pytest.mark.parametrize(("values", "expected"), [([3, None], np.array([3.0, np.nan])), ([3, -1], np.array([3, -1]))])
def test_integers_stay_integers_unless_one_is_missing(to_frame, values, expected):
    found = frames.array(to_frame(pd.DataFrame({"year": pd.array(values, dtype="Int64")})), "year")
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype


def test_columns_are_appended_as_their_schema_says_whatever_the_index(host, to_frame):
    columns = {
        "bucket": np.array([1, -1, 19, 0], np.int8),
        "score2": SCORES,
        "tier": np.array(["low", None, "high", "low"], object),
    }
    schema = {"bucket": "int8", "score2": "float32", "tier": "str"}
    given = to_frame(host)
    result = frames.append(given, columns, schema)
    assert list(given.columns) == ["text", "score"]
    expected = host.assign(**columns | {"tier": pd.array(["low", None, "high", "low"], dtype="str")})
    pd.testing.assert_frame_equal(frames.on_host(result), expected)


def test_a_column_of_strings_may_be_missing_throughout(host, to_frame):
    result = frames.append(to_frame(host), {"label": np.full(4, None, object)}, {"label": "str"})
    assert frames.dtype_name(result, "label") == "str"
    assert frames.texts(result, "label") == [None] * 4


def test_a_column_of_the_frames_own_library_is_appended_in_its_order(host, to_frame):
    frame = to_frame(host)
    copied = {"again": frame["score"], "text2": frame["text"]}
    result = frames.append(frame, copied, {"again": "float32", "text2": "str"})
    np.testing.assert_array_equal(frames.array(result, "again"), SCORES)
    assert frames.texts(result, "text2") == TEXTS


def test_a_frame_without_rows_gets_columns_without_rows(host, to_frame):
    result = frames.append(to_frame(host.iloc[:0]), {"n": np.empty(0, np.int8), "t": []}, {"n": "int8", "t": "str"})
    assert [frames.dtype_name(result, name) for name in result.columns] == ["str", "float32", "int8", "str"]
    assert len(result) == 0


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        (lambda frame: list(frame["score"]), TypeError),
        (lambda frame: list(frame.index), TypeError),
        (lambda frame: frame["score"].tolist(), TypeError),
        (lambda frame: np.asarray(frame["score"]), TypeError),
        (lambda frame: np.asarray(frame["score"].values), TypeError),
        (np.asarray, TypeError),
        (lambda frame: pa.array(frame["score"]), TypeError),
        (lambda frame: frame["text"].values, ValueError),  # noqa: PD011
        (lambda frame: frame["text"].iloc[:1].values, TypeError),  # noqa: PD011
        (lambda frame: frame["score"].to_numpy(copy=False), ValueError),
        (lambda frame: frame["score"].to_numpy(dtype="int64"), ValueError),
        (lambda frame: bool(frame["score"]), ValueError),
        (lambda frame: frame["score"].where(lambda score: score > 0), TypeError),
        (lambda frame: frame.__setitem__("x", np.full(4, None, object)), TypeError),
        (lambda frame: frame.__setitem__("x", np.array([1, "a", 2, 3], object)), TypeError),
        (lambda frame: frame.__setitem__("x", frame["score"].iloc[::-1]), ValueError),
    ],
)
def test_cudf_refuses_what_pandas_does(host, to_cudf, refused, error):
    with pytest.raises(error):
        refused(to_cudf(host))


def test_nan_is_null_in_a_frame_of_cudf(host, to_cudf):
    assert to_cudf(host)["score"].to_arrow().null_count == 1


@pytest.mark.skipif(importlib.util.find_spec("cudf") is not None, reason="cuDF is installed")
def test_where_cudf_is_missing_a_frame_of_it_says_so(host):
    with pytest.raises(ConfigError, match='"cudf" cannot be used in this process: ModuleNotFoundError: No module'):
        frames.of("cudf", host)
    assert frames.why_not("cudf") == "cudf is not installed here; pip install '.[cuda13]', on the workers too"


@pytest.mark.usefixtures("cudf_double")
def test_where_cudf_is_there_nothing_is_said_against_it():
    assert frames.why_not("cudf") == frames.why_not("pandas") == ""


def spec(frame, device="cuda", partition_bytes=1000):
    reading = InputSpec(path=("in",), frame=frame, partition_bytes=partition_bytes)
    return RunSpec("out", reading, (), scoring=ScoringSpec(device=device))


@pytest.mark.usefixtures("cudf_double")
def test_a_plan_tells_that_frames_of_cudf_need_a_gpu():
    (mistake,) = checks.frame(spec("cudf", device="cpu"))
    assert mistake.startswith('[input] frame: "cudf" frames are held by a GPU, and scoring.device is "cpu"; write')


@pytest.mark.skipif(importlib.util.find_spec("cudf") is not None, reason="cuDF is installed")
def test_a_plan_tells_that_cudf_is_missing():
    (mistake,) = checks.frame(spec("cudf"))
    assert mistake.startswith('[input] frame: "cudf" cannot be used: cudf is not installed here; pip install')


@pytest.mark.usefixtures("cudf_double")
def test_a_plan_has_nothing_against_frames_of_pandas_anywhere():
    assert [*checks.frame(spec("pandas", "cpu")), *checks.frame(spec("pandas")), *checks.frame(spec("cudf"))] == []


def test_the_library_of_frames_is_in_no_identity_so_that_a_run_can_change_it():
    assert spec("cudf").rows_identity() == spec("pandas").rows_identity()
    assert spec("cudf").text_identity() == spec("pandas").text_identity()


def test_a_partition_may_not_hold_more_text_than_a_column_of_cudf():
    (mistake,) = spec("cudf", partition_bytes=2**31).input.mistakes()
    assert "2147483648 bytes of text are more than a string column of cuDF holds" in mistake
    assert spec("cudf", partition_bytes=2**31 - 1).input.mistakes() == []
    assert spec("pandas", partition_bytes=2**31).input.mistakes() == []
