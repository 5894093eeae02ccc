import json
import logging
import resource

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.core.errors import ShardError
from curation.data import storage
from curation.data.layout import QUARANTINE_SCHEMA, columns_schema, documents_schema, rows_schema
from curation.data.sidecar import FORMAT, SidecarWriter, iter_columns, read_columns, read_record

SCORES = columns_schema({"edu": "float32", "label": "str"})
RECORD = {"kind": "scores", "shard": "a.jsonl", "num_rows": 3}


@pytest.fixture(params=["local", "memory"])
def url(request, tmp_path):
    if request.param == "local":
        yield str(tmp_path / "scores" / "a.jsonl.parquet")
        return
    yield "memory://run/scores/a.jsonl.parquet"
    fsspec.filesystem("memory").store.clear()


def frame(*positions):
    return pd.DataFrame(
        {
            "position": positions,
            "edu": np.array([position / 2 for position in positions], dtype="float32"),
            "label": pd.Series([None if position == 1 else f"l{position}" for position in positions], dtype="str"),
            "other": "is not kept",
        }
    )


def write_scores(url, *frames, record=RECORD):
    with SidecarWriter(url, SCORES) as writer:
        for each in frames:
            writer.write(each)
        writer.finish(record)


def test_columns_and_record_come_back(url):
    write_scores(url, frame(0, 1), frame(2))
    assert read_record(url) == {**RECORD, "format": FORMAT}
    assert read_columns(url).to_pylist() == [
        {"position": 0, "edu": 0.0, "label": "l0"},
        {"position": 1, "edu": 0.5, "label": None},
        {"position": 2, "edu": 1.0, "label": "l2"},
    ]
    assert read_columns(url, ["edu"]).to_pydict() == {"edu": [0.0, 0.5, 1.0]}


def test_each_partition_is_read_by_itself(url):
    write_scores(url, frame(0, 1), frame(), frame(2))
    assert [table["position"].to_pylist() for table in iter_columns(url, ["position"])] == [[0, 1], [2]]


def test_a_sidecar_without_rows_has_its_columns(url):
    write_scores(url)
    assert read_columns(url).schema.names == ["position", "edu", "label"]
    assert read_columns(url).num_rows == 0


def test_equal_work_gives_equal_bytes(tmp_path):
    for name in ("one", "two"):
        write_scores(str(tmp_path / name), frame(*range(1000)), frame(*range(1000, 1500)))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_arrays_tables_and_frames_give_equal_bytes(tmp_path):
    arrays = {"position": [0, 1], "edu": np.array([0, 0.5]), "label": ["l0", None]}
    for name, columns in {"frame": frame(0, 1), "arrays": arrays, "table": pa.table(arrays)}.items():
        write_scores(str(tmp_path / name), columns)
    assert len({(tmp_path / name).read_bytes() for name in ("frame", "arrays", "table")}) == 1


def test_the_footer_holds_the_record_as_canonical_json(tmp_path):
    write_scores(str(tmp_path / "a"), frame(0))
    assert pq.read_metadata(tmp_path / "a").metadata[b"curation"] == (
        b'{"format":1,"kind":"scores","num_rows":3,"shard":"a.jsonl"}'
    )


def test_records_of_many_shards_share_their_strings(tmp_path):
    urls = [str(tmp_path / name) for name in ("a", "b")]
    for url in urls:
        write_scores(url, frame(0), record=RECORD | {"classifier": "0" * 64})
    one, other = map(read_record, urls)
    assert one["classifier"] is other["classifier"]
    assert all(key is same for key, same in zip(one, other, strict=True))


def test_scores_keep_every_bit(tmp_path):
    edu = np.array([1.17549e-38, 1e-45, -0.0, np.float32(1) / 3, 3.4e38], dtype="float32")
    write_scores(str(tmp_path / "a"), {"position": range(5), "edu": edu, "label": [None] * 5})
    back = read_columns(str(tmp_path / "a"))["edu"].to_numpy()
    assert back.view("int32").tolist() == edu.view("int32").tolist()


def test_a_block_that_raises_leaves_nothing(tmp_path):
    def stop_halfway():
        with SidecarWriter(str(tmp_path / "a"), SCORES) as writer:
            writer.write(frame(0, 1))
            raise KeyError("halfway")

    with pytest.raises(KeyError, match="halfway"):
        stop_halfway()
    assert storage.list_files(str(tmp_path)) == []


def test_a_file_that_may_not_grow_is_explained_and_leaves_nothing(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    scores = {"position": range(10_000), "edu": np.random.default_rng(0).random(10_000), "label": ["x"] * 10_000}
    try:
        with pytest.raises(ShardError, match="a: cannot be written: File too large"):
            write_scores(str(tmp_path / "a"), scores)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert storage.list_files(str(tmp_path)) == []


def test_a_block_without_a_record_leaves_nothing(tmp_path):
    message = r"the block ended before finish\(record\) was called"
    with pytest.raises(RuntimeError, match=message), SidecarWriter(str(tmp_path / "a"), SCORES) as writer:
        writer.write(frame(0))
    assert storage.list_files(str(tmp_path)) == []


def test_a_finished_file_is_not_there_before_its_block_ends(tmp_path):
    def stop_after_the_record():
        with SidecarWriter(str(tmp_path / "a"), SCORES) as writer:
            writer.write(frame(0))
            writer.finish(RECORD)
            raise KeyError("another sidecar failed")

    with pytest.raises(KeyError):
        stop_after_the_record()
    assert storage.list_files(str(tmp_path)) == []


def test_a_missing_value_is_refused_where_there_must_be_one(tmp_path):
    message, url = "'reason' has 1 missing values and may have none", str(tmp_path / "a")
    with pytest.raises(ValueError, match=message), SidecarWriter(url, QUARANTINE_SCHEMA) as writer:
        writer.write({"position": [0, 1], "reason": ["text is null", None], "raw": [b"", b""]})
    assert storage.list_files(str(tmp_path)) == []


def test_a_missing_column_is_refused(tmp_path):
    with pytest.raises(KeyError), SidecarWriter(str(tmp_path / "a"), SCORES) as writer:
        writer.write({"position": [0]})
    assert storage.list_files(str(tmp_path)) == []


def test_an_absent_sidecar_has_no_record(url):
    reports = []
    assert read_record(url, reports.append) is None
    assert reports == []


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped footer", "no Parquet", "foreign"])
def test_a_damaged_sidecar_counts_as_absent_and_is_reported(tmp_path, damage):
    path, reports = tmp_path / "a", []
    write_scores(str(path), frame(*range(100)))
    whole = path.read_bytes()
    if damage == "foreign":
        pq.write_table(pa.table({"a": [1]}), path)
    else:
        flipped = whole[:-60] + bytes(255 - byte for byte in whole[-60:-8]) + whole[-8:]
        path.write_bytes(
            {"empty": b"", "cut": whole[:-10], "flipped footer": flipped, "no Parquet": b"text " * 9}[damage]
        )
    assert read_record(str(path), reports.append) is None
    assert [report.startswith(f"{path}: is damaged and counts as absent: ") for report in reports] == [True]
    with pytest.raises(ShardError, match="is damaged"):
        read_columns(str(path))


def test_damage_is_logged_where_nobody_asks(tmp_path, caplog):
    (tmp_path / "a").write_bytes(b"")
    with caplog.at_level(logging.WARNING, "curation"):
        assert read_record(str(tmp_path / "a")) is None
    assert "is damaged and counts as absent" in caplog.text


def test_damage_inside_a_column_is_found_when_it_is_read(tmp_path):
    path = tmp_path / "a"
    write_scores(str(path), frame(*range(1000)))
    data = bytearray(path.read_bytes())
    data[20:200] = bytes(180)
    path.write_bytes(data)
    with pytest.raises(ShardError, match=r"is damaged: .* Remove it and start the same command again\."):
        read_columns(str(path))


def test_a_newer_format_is_refused(tmp_path):
    path = tmp_path / "a"
    schema = pa.schema({"position": pa.int64()}, metadata={"curation": json.dumps({"format": FORMAT + 1})})
    pq.write_table(pa.table({"position": [0]}, schema=schema), path)
    message = r"is of format 2, and this version of curation reads formats up to 1\. Use the version that wrote it"
    with pytest.raises(ShardError, match=message):
        read_record(str(path))
    with pytest.raises(ShardError, match=message):
        read_columns(str(path))


def test_a_column_that_is_not_there_is_named(tmp_path):
    write_scores(str(tmp_path / "a"), frame(0))
    with pytest.raises(ShardError, match=r"lacks the columns \['quality'\]; it has \['position', 'edu', 'label'\]"):
        read_columns(str(tmp_path / "a"), ["quality"])


def test_an_absent_sidecar_cannot_be_read(url):
    with pytest.raises(ShardError, match="cannot be opened"):
        read_columns(url)


def test_rows_and_documents_hold_the_carried_columns_in_their_types():
    carried = {"lang": "string", "year": "int64", "share": "float64", "seen": "bool"}
    types = [pa.string(), pa.int64(), pa.float64(), pa.bool_()]
    fixed = ["position", "id", "n_bytes", "n_chars", "n_tokens", "state"]
    assert rows_schema(carried).names == [*fixed, *carried]
    assert rows_schema(carried).types[-4:] == types
    assert documents_schema(carried).names == ["position", "id", "text", *carried]
    assert documents_schema(carried).types[-4:] == types


def test_a_record_larger_than_what_is_read_at_first_comes_back(url):
    with SidecarWriter(url, SCORES) as writer:
        writer.write(frame(0))
        writer.finish(RECORD | {"long": "x" * 200_000})
    assert read_record(url) == RECORD | {"long": "x" * 200_000, "format": FORMAT}
