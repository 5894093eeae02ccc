"""A run with frames of cuDF writes what one with frames of pandas writes, and Dask's own frames need no option."""

import importlib.util
from dataclasses import replace

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from input_files import Everything, compressed, json_lines, shards_of, spec_of, write
from run_files import contents

from curation.calibration.thresholds import ClassifierThresholds, Thresholds
from curation.classifiers import tiny_bert
from curation.classifiers.encoder import Encoder
from curation.classifiers.fasttext import FastText
from curation.core import frames
from curation.core.errors import ConfigError
from curation.execution.scoring import ScoreTask, score_shard, warm
from curation.execution.spec import Pinned, RunSpec
from curation.execution.tiering import Opinion, TierTask, tier_shard
from curation.stages.score import Score
from curation.stages.tiering import TieringSpec

CUTS = tuple(np.linspace(-1, 1, 19, dtype=np.float32).tolist())
ROWS = [
    {"id": "a", "text": "the river and the mill", "lang": "en", "year": 2024},
    {"id": "b", "text": "", "lang": "en", "year": 2024},
    {"id": "c", "text": None, "lang": "en"},
    {"id": "d", "text": "Wasser", "lang": "de", "year": None},
    b"broken",
    {"text": "\u00e9" * 300, "lang": "en", "year": "later"},
    {"id": "f", "text": "water \u0000 and light", "lang": "en", "year": 2024},
]


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory):
    """One of each kind, and one that adds a column of strings."""
    folder = tmp_path_factory.mktemp("models")
    tiny_bert.write(folder / "c", labels=("lesson", "other"))
    return (
        replace(Encoder.tiny(folder / "a"), name="edu"),
        replace(FastText.tiny(folder / "b"), name="web"),
        Encoder(name="kind", model=str(folder / "c")),
    )


def run_spec(output, corpus, classifiers, frame):
    spec = RunSpec(
        str(output),
        spec_of(corpus, carry=("lang", "year:int64"), where="lang == 'en'", partition_bytes=300, frame=frame),
        classifiers,
        tiering=TieringSpec(classifiers=("edu", "web"), missing="ignore"),
        documents=True,
    )
    return spec, tuple(Pinned(each, each.fingerprint()) for each in classifiers)


def opinion_of(spec, pinned):
    return Opinion.of(
        spec.tiering,
        [each.scores for each in pinned],
        Thresholds((ClassifierThresholds("edu", CUTS), ClassifierThresholds("web", CUTS))),
    )


def tier_task(spec, pinned, opinion, shard):
    scores = tuple(each.scores for each in pinned)
    return TierTask(spec.output, "default", scores, opinion, shard, spec.input.frame, spec)


def run(output, corpus, classifiers, frame):
    """Score and tier an input in this process."""
    spec, pinned = run_spec(output, corpus, classifiers, frame)
    opinion = opinion_of(spec, pinned)
    warm(spec, pinned)
    for shard in shards_of(spec.input):
        score_shard(ScoreTask(spec, shard, pinned, writes_rows=True))
        tier_shard(tier_task(spec, pinned, opinion, shard))
    return contents(output)


@pytest.mark.usefixtures("to_cudf")
def test_frames_of_cudf_leave_the_bytes_of_frames_of_pandas(tmp_path, classifiers):
    write(tmp_path / "in" / "hostile.jsonl", json_lines(*ROWS))
    write(tmp_path / "in" / "blank.jsonl", json_lines({"text": " ", "lang": "en"}))
    write(tmp_path / "in" / "broken.jsonl", b"broken\n")
    write(tmp_path / "in" / "nothing.jsonl", b"")
    files = run(tmp_path / "cudf", tmp_path / "in", classifiers, "cudf")
    assert files == run(tmp_path / "pandas", tmp_path / "in", classifiers, "pandas")
    folders = {name.split("/")[0] for name in files}
    assert folders == {"rows", "scores", "tierings", "documents", "quarantine"}


@pytest.mark.skipif(importlib.util.find_spec("cudf") is not None, reason="cuDF is installed")
def test_a_worker_that_cannot_make_frames_of_cudf_says_so_before_it_scores(tmp_path, classifiers):
    write(tmp_path / "in" / "a.jsonl", json_lines(*ROWS))
    run(tmp_path / "out", tmp_path / "in", classifiers, "pandas")
    spec, pinned = run_spec(tmp_path / "out", tmp_path / "in", classifiers, "cudf")
    (shard,) = shards_of(spec.input)
    other = replace(opinion_of(spec, pinned), identity="another")
    for work in (
        lambda: warm(spec, pinned),
        lambda: score_shard(ScoreTask(spec, shard, pinned, writes_rows=True)),
        lambda: tier_shard(tier_task(spec, pinned, other, shard)),
    ):
        with pytest.raises(ConfigError, match='"cudf" cannot be used in this process'):
            work()


@pytest.mark.parametrize("extension", [".jsonl", ".jsonl.gz", ".jsonl.zst"])
def test_a_partition_is_measured_in_decoded_text_however_it_was_written(tmp_path, extension):
    texts = [letter * size for size in (10, 90, 400, 30) for letter in ("a", "\u00e9", "水", "\x01", "\U0001f9ee")]
    lines = b"".join(
        b'{"text": "%s"}\n' % text.encode("unicode_escape").replace(b"\\x", b"\\u00") for text in texts[:3]
    )
    write(tmp_path / f"a{extension}", compressed(lines + json_lines(*({"text": text} for text in texts)), extension))
    found = Everything(spec_of(tmp_path, partition_bytes=600))
    assert found.texts == [*texts[:3], *texts]
    sizes = [[len(text.encode()) for text in frame["text"]] for frame in found.frames]
    assert all(sum(each) <= 600 or len(each) == 1 for each in sizes)
    assert max(map(sum, sizes)) == 1600


@pytest.fixture
def made_by_dask(to_cudf):  # noqa: ARG001 - a fixture cannot use others but by asking for them
    """A function dict → Dask's frame of cuDF in two partitions, for which only Dask's config was set."""
    pytest.importorskip("dask_cudf")

    def make(data):
        with dask.config.set({"dataframe.backend": "cudf"}):
            return dd.from_dict(data, npartitions=2)

    return make


def test_a_stage_takes_what_the_backend_of_dask_hands_over(classifiers, made_by_dask):
    texts = ["the river and the mill", None, "", "water"]
    stage = Score(classifiers)
    partitioned = made_by_dask({"text": texts})
    meta = stage.meta(partitioned._meta)
    assert frames.library(meta).__name__ == "cudf"
    scored = partitioned.map_partitions(stage, meta=meta)
    assert {name: str(dtype) for name, dtype in scored.dtypes[list(stage.adds)].items()} == stage.adds
    found = scored.compute(scheduler="synchronous")
    assert frames.library(found).__name__ == "cudf"
    expected = stage(pd.DataFrame({"text": pd.array(texts, dtype="str")}))
    added = frames.on_host(found[list(stage.adds)]).reset_index(drop=True)
    pd.testing.assert_frame_equal(added, expected[list(stage.adds)], rtol=0, atol=1e-5)
