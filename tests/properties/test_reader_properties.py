"""Whatever bytes a file holds: every row is accounted for, or a ShardError says what is wrong."""

import contextlib
import functools
import io
import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from input_files import Everything, compressed, json_lines, spec_of

from curation.core.errors import ShardError
from curation.data.inputs import InputSpec, find
from curation.data.reader import read
from curation.data.shards import split_all

CARRY = ("lang", "year:int64", "share:float64", "seen:bool")
WHERE = "lang == 'en' or year > 2000"

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["en", "de", "", " "]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from(["id", "text", "lang", "year", "share", "seen", "rest", "té\u2028xt"])
objects = st.dictionaries(names, json_values, max_size=6)
ascii_lines = objects.map(lambda value: json.dumps(value).encode())
utf8_lines = objects.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
odd_bytes = st.sampled_from(
    [b"", b" ", b"\r", b"\t\r", b"\x00", b"\xff", b"\xef\xbb\xbf", b"{", b'{"text": "', b"null", b"\x0c"]
)
damaged_lines = st.tuples(ascii_lines, st.integers(0, 60)).map(lambda pair: pair[0][: pair[1]])
lines = st.one_of(ascii_lines, utf8_lines, odd_bytes, damaged_lines, st.binary(max_size=30))
files = st.tuples(st.lists(lines, max_size=12), st.sampled_from([b"\n", b"\r\n"]), st.booleans()).map(
    lambda parts: parts[1].join(parts[0]) + (parts[1] if parts[2] else b"")
)
extensions = st.sampled_from([".jsonl", ".jsonl.gz", ".jsonl.zst"])
good_rows = st.lists(
    st.fixed_dictionaries({"id": st.text(min_size=1, max_size=5), "text": st.text(max_size=60)}), max_size=40
)


def count_of_rows(data):
    """How many rows a file of lines has, counted in another way than the reader does."""
    return sum(line.strip(b" \t\r") != b"" for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n"))


@functools.cache
def folder():
    return Path(tempfile.mkdtemp(prefix="reader-properties-"))


def everything_in(data, name, **settings):
    path = folder() / name
    path.write_bytes(data)
    return Everything(spec_of(path, **settings))


@given(files, extensions)
@settings(max_examples=300, deadline=None)
def test_every_line_of_any_file_is_accounted_for(data, extension):
    everything = everything_in(compressed(data, extension), f"fuzzed{extension}", carry=CARRY, where=WHERE)
    assert everything.count("read") == count_of_rows(data)
    assert everything.count("read") == sum(everything.states)
    assert len(everything.quarantined) == everything.count("quarantined")
    states = everything.column("state")
    assert everything.states[:3] == [states.count("ok"), states.count("blank"), states.count("not_selected")]


@given(files, st.integers(1, 200), st.integers(1, 300))
@settings(max_examples=200, deadline=None)
def test_rows_do_not_depend_on_the_size_of_shards_and_partitions(data, shard_bytes, partition_bytes):
    whole = everything_in(data, "split.jsonl", carry=CARRY)
    cut = everything_in(data, "split.jsonl", carry=CARRY, shard_bytes=shard_bytes, partition_bytes=partition_bytes)
    for column in ("position", "id", "text", "n_bytes", "n_chars", "state"):
        assert cut.column(column) == whole.column(column)
    assert cut.quarantined == whole.quarantined
    assert cut.states == whole.states


@given(st.lists(st.text(max_size=60), max_size=40), st.integers(1, 10), st.integers(1, 500), st.integers(1, 500))
@settings(max_examples=100, deadline=None)
def test_rows_of_parquet_do_not_depend_on_groups_shards_and_partitions(texts, group_size, shard_bytes, partition_bytes):
    columns = {"id": [str(place) for place in range(len(texts))], "text": pa.array(texts, pa.string())}
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, row_group_size=group_size)
    cut = everything_in(file.getvalue(), "split.parquet", shard_bytes=shard_bytes, partition_bytes=partition_bytes)
    assert cut.texts == texts
    assert cut.column("position") == list(range(len(texts)))
    assert cut.count("read") == sum(cut.states) == len(texts)


@given(good_rows)
@settings(max_examples=100, deadline=None)
def test_a_good_file_gives_back_what_was_written(rows):
    rows = [row for row in rows if not any("\ud800" <= letter <= "\udfff" for letter in row["id"] + row["text"])]
    everything = everything_in(json_lines(*rows), "good.jsonl")
    assert everything.texts == [row["text"] for row in rows]
    assert everything.column("id") == [row["id"] for row in rows]
    assert everything.column("n_chars") == [len(row["text"]) for row in rows]
    assert everything.column("n_bytes") == [len(row["text"].encode()) for row in rows]


@functools.cache
def whole_file(name):
    texts = [f"Text {place} " * (place % 7) for place in range(400)]
    if name.endswith(".parquet"):
        file = io.BytesIO()
        columns = {"id": [str(place) for place in range(400)], "text": texts, "year": list(range(400))}
        pq.write_table(pa.table(columns), file, row_group_size=90, write_page_checksum="sums" in name)
        return file.getvalue()
    return compressed(json_lines(*({"text": text} for text in texts)), name.removeprefix("a"))


@pytest.mark.parametrize("name", ["a.parquet", "sums.parquet", "a.jsonl.gz", "a.jsonl.zst"])
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8), st.none() | st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_a_damaged_file_reconciles_or_says_what_is_wrong(name, flips, cut):
    data = bytearray(whole_file(name))
    for place, byte in flips:
        data[int(place * (len(data) - 1))] = byte
    path = folder() / name
    path.write_bytes(data if cut is None else data[: int(cut * len(data))])
    spec = InputSpec((str(path),), carry=("year:int64",) if name.endswith(".parquet") else ())
    split = split_all(find(spec).files, spec)
    for shard in split.shards:
        reader = read(shard, spec)
        with contextlib.suppress(ShardError):
            assert sum(len(partition.frame) + len(partition.quarantined) for partition in reader) == reader.counts.read
