import decimal
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from input_files import Everything, read_bytes_as, shards_of, spec_of, write_parquet

from curation.core.errors import ShardError
from curation.data.reader import read
from curation.data.rows import MAX_RAW_BYTES


def invalid_strings(*values):
    """A column of type string that holds these bytes, valid or not."""
    raw = pa.array(values, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(raw), raw.buffers(), raw.null_count)


def read_columns_as(path, columns, *, writing=None, **settings):
    write_parquet(path, columns, **writing or {})
    return Everything(spec_of(path, **settings))


def test_documents_come_back_in_order(tmp_path):
    texts = [f"Text {place}" for place in range(1000)]
    columns = {"text": texts, "id": [f"d{place}" for place in range(1000)]}
    everything = read_columns_as(tmp_path / "a.parquet", columns, writing={"row_group_size": 70})
    assert everything.texts == texts
    assert everything.column("position") == list(range(1000))
    assert everything.column("id") == columns["id"]
    assert (everything.count("read"), everything.states) == (1000, [1000, 0, 0, 0])


def test_a_position_is_the_ordinal_in_the_file_whatever_the_shard(tmp_path):
    columns = {"id": [str(place) for place in range(100)], "text": ["t" * 50] * 100}
    everything = read_columns_as(tmp_path / "a.parquet", columns, writing={"row_group_size": 9}, shard_bytes=1)
    assert len(everything.shards) == 12
    assert everything.column("position") == list(range(100))


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.binary(),
        pa.large_binary(),
        pa.binary_view(),
        pa.dictionary(pa.int32(), pa.string()),
        pa.dictionary(pa.int8(), pa.large_binary()),
    ],
    ids=str,
)
def test_text_id_and_carried_strings_may_be_of_any_string_type(tmp_path, kind):
    values = pa.array([b"caf\xc3\xa9", None, b"", b"\xf0\x9f\x98\x80"])
    if pa.types.is_dictionary(kind):
        array = values.cast(kind.value_type).dictionary_encode().cast(kind)
    else:
        array = values.cast(kind)
    everything = read_columns_as(tmp_path / "a.parquet", {"id": array, "text": array, "c": array}, carry=("c",))
    assert everything.texts == ["café", "", "😀"]
    assert everything.column("id") == ["café", "a.parquet#2", "😀"]
    assert everything.column("c") == ["café", "", "😀"]
    assert (everything.reasons, everything.states) == (["text is null"], [2, 1, 0, 1])
    assert (everything.count("made_ids"), everything.count("carry_nulls")) == (1, 0)


@pytest.mark.parametrize("raw", [b"\xff", b"cut \xe2\x82", b"\xed\xa0\x80 surrogate", b"\xc0\x80", b"\xf5\x80\x80\x80"])
def test_a_text_that_is_not_utf8_goes_to_quarantine(tmp_path, raw):
    text = invalid_strings(b"before", raw + b"x" * 20_000, b"after")
    everything = read_columns_as(tmp_path / "a.parquet", {"id": ["1", "2", "3"], "text": text})
    assert everything.texts == ["before", "after"]
    assert [row.position for row in everything.quarantined] == [1]
    assert everything.reasons == ["bad UTF-8 in the text"]
    assert everything.quarantined[0].raw == (raw + b"x" * 20_000)[:MAX_RAW_BYTES]


def test_an_id_or_a_carried_string_that_is_not_utf8_is_made_or_null(tmp_path):
    bad = invalid_strings(b"\xff", b"fine", None)
    columns = {"id": bad, "text": ["a", "b", "c"], "c": bad}
    everything = read_columns_as(tmp_path / "a.parquet", columns, carry=("c",))
    assert everything.column("id") == ["a.parquet#0", "fine", "a.parquet#2"]
    assert [frame["c"].isna().tolist() for frame in everything.frames] == [[True, False, True]]
    assert (everything.count("made_ids"), everything.count("carry_nulls")) == (2, 1)


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (pa.array([7, -7, None], pa.int16()), ["7", "-7", "a.parquet#2"]),
        (pa.array([2**64 - 1, 0, None], pa.uint64()), [str(2**64 - 1), "0", "a.parquet#2"]),
        (pa.array([1.0, 2.0, None]), ["a.parquet#0", "a.parquet#1", "a.parquet#2"]),
        (pa.array([["x"], [], None]), ["a.parquet#0", "a.parquet#1", "a.parquet#2"]),
        (pa.array([{"a": 1}, None, None]), ["a.parquet#0", "a.parquet#1", "a.parquet#2"]),
        (pa.array([None, None, None], pa.null()), ["a.parquet#0", "a.parquet#1", "a.parquet#2"]),
        (pa.array([decimal.Decimal(1)] * 3), ["a.parquet#0", "a.parquet#1", "a.parquet#2"]),
    ],
    ids=lambda each: str(each.type) if isinstance(each, pa.Array) else "",
)
def test_an_id_is_a_string_an_integer_or_made(tmp_path, ids, expected):
    everything = read_columns_as(tmp_path / "a.parquet", {"id": ids, "text": ["a", "b", "c"]})
    assert everything.column("id") == expected
    assert everything.count("made_ids") == sum(each.startswith("a.parquet#") for each in expected)


def test_carried_numbers_keep_their_values(tmp_path):
    columns = {
        "id": ["1", "2", "3"],
        "text": ["a", "b", "c"],
        "i": pa.array([2**63 - 1, None, -(2**63)], pa.int64()),
        "u": pa.array([2**63, 5, None], pa.uint64()),
        "f": pa.array([0.1, math.nan, None], pa.float64()),
        "h": pa.array(np.array([1.5, math.inf, 0], dtype="float16")),
        "b": pa.array([True, None, False]),
    }
    carry = ("i:int64", "u:int64", "f:float64", "h:float64", "b:bool")
    everything = read_columns_as(tmp_path / "a.parquet", columns, carry=carry)
    (frame,) = everything.frames
    values = {
        name: [None if missing else value for value, missing in zip(frame[name], frame[name].isna(), strict=True)]
        for name in "iufhb"
    }
    assert values == {
        "i": [2**63 - 1, None, -(2**63)],
        "u": [None, 5, None],
        "f": [0.1, None, None],
        "h": [1.5, math.inf, 0.0],
        "b": [True, None, False],
    }
    assert everything.count("carry_nulls") == 1


def test_what_lies_in_other_columns_does_not_matter(tmp_path):
    nested = pa.array([{"a": [None, {"b": None}]}, None], pa.struct([("a", pa.list_(pa.struct([("b", pa.null())])))]))
    columns = {
        "id": ["1", "2"],
        "deep": nested,
        "bad": invalid_strings(b"\xff", b"\xfe"),
        "text": ["a", "b"],
        "text.x": [1, 2],
    }
    assert read_columns_as(tmp_path / "a.parquet", columns).texts == ["a", "b"]


def test_columns_with_dots_are_columns(tmp_path):
    columns = {"doc.id": ["1"], "doc.text": ["a"], "doc": pa.array([{"text": "wrong"}])}
    everything = read_columns_as(tmp_path / "a.parquet", columns, id_column="doc.id", text_column="doc.text")
    assert (everything.column("id"), everything.texts) == (["1"], ["a"])


def test_a_file_without_rows_gives_no_partition(tmp_path):
    empty = pa.table({"id": pa.array([], pa.string()), "text": pa.array([], pa.string())})
    everything = read_columns_as(tmp_path / "a.parquet", empty)
    assert (everything.frames, everything.count("read")) == ([], 0)
    assert len(everything.readers[0].fingerprint) == 32


@pytest.mark.parametrize("num_groups", [0, 1])
def test_a_file_that_got_its_first_rows_after_it_was_split_is_an_error(tmp_path, num_groups):
    path, schema = tmp_path / "a.parquet", pa.schema({"id": pa.string(), "text": pa.string()})
    with pq.ParquetWriter(path, schema) as writer:
        for _ in range(num_groups):
            writer.write_table(schema.empty_table())
    (shard,) = shards_of(spec_of(path))
    assert shard.stop_group == num_groups
    assert list(read(shard, spec_of(path))) == []
    write_parquet(path, {"id": ["1"], "text": ["a"]})
    with pytest.raises(ShardError, match="the rows 0 to 0 are not whole row groups any more"):
        list(read(shard, spec_of(path)))


def test_row_groups_without_rows_are_passed_over(tmp_path):
    schema = pa.schema({"id": pa.string(), "text": pa.string()})
    with pq.ParquetWriter(tmp_path / "a.parquet", schema) as writer:
        for texts in ([], ["a", "b"], [], ["c"], []):
            writer.write_table(pa.table({"id": texts, "text": texts}, schema=schema), row_group_size=10)
    assert pq.read_metadata(tmp_path / "a.parquet").num_rows == 3
    everything = Everything(spec_of(tmp_path, shard_bytes=1))
    assert (everything.column("position"), everything.texts) == ([0, 1, 2], ["a", "b", "c"])


@pytest.mark.parametrize(
    "writing", [{}, {"use_dictionary": False}, {"data_page_version": "2.0"}, {"compression": "none"}], ids=str
)
def test_damaged_pages_are_an_error_that_says_where(tmp_path, writing):
    count = 5000
    columns = {"id": [str(place) for place in range(count)], "text": [f"{place} " * 9 for place in range(count)]}
    path = write_parquet(tmp_path / "a.parquet", columns, row_group_size=1000, write_page_checksum=True, **writing)
    data = bytearray(path.read_bytes())
    column = pq.read_metadata(path).row_group(3).column(1)
    middle = (column.dictionary_page_offset or column.data_page_offset) + column.total_compressed_size // 2
    data[middle : middle + 20] = bytes(255 - byte for byte in data[middle : middle + 20])
    path.write_bytes(data)
    with pytest.raises(ShardError) as error:
        Everything(spec_of(path))
    assert str(error.value).startswith(f"{path}: reading stopped after row ")
    assert "Repair or replace the file, then start the same command again." in str(error.value)
    row = int(str(error.value).split("after row ")[1].split(":")[0])
    assert 3000 <= row < 4000


@pytest.mark.parametrize(
    "damage", [lambda data: data[:0], lambda data: data[:-1], lambda data: data[: len(data) // 2], bytes.swapcase]
)
def test_a_file_without_a_footer_is_an_error(tmp_path, damage):
    path = write_parquet(tmp_path / "a.parquet", {"id": ["1"], "text": ["a"]})
    with pytest.raises(ShardError, match=r"a\.parquet: has no Parquet footer; the file is cut short"):
        read_bytes_as(path, damage(path.read_bytes()))


def test_a_footer_that_makes_no_sense_is_an_error(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", {"id": ["1"], "text": ["a"]})
    data = path.read_bytes()
    with pytest.raises(ShardError, match="its Parquet footer cannot be read"):
        read_bytes_as(path, data[:-100] + bytes(92) + data[-8:])


def test_a_file_that_was_repaired_is_read_by_the_shard_that_failed(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", {"id": ["1", "2"], "text": ["a", "b"]}, row_group_size=1)
    whole, spec = path.read_bytes(), spec_of(path)
    path.write_bytes(whole[:-5])
    (shard,) = shards_of(spec)
    path.write_bytes(whole)
    assert [text for partition in read(shard, spec) for text in partition.frame["text"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("columns", "group_size", "message"),
    [
        ({"id": ["1"] * 60, "text": ["b"] * 60}, 20, "are not whole row groups any more, so the file has changed"),
        ({"id": ["1"] * 30, "text": ["b"] * 30}, 30, "are not whole row groups any more, so the file has changed"),
        ({"id": ["1"] * 60, "text": [1] * 60}, 30, "the text column 'text' holds int64"),
        ({"id": ["1"] * 60, "body": ["b"] * 60}, 30, "the column 'text' is needed once"),
    ],
)
def test_a_file_that_changed_since_it_was_split_is_an_error(tmp_path, columns, group_size, message):
    path = write_parquet(tmp_path / "a.parquet", {"id": ["1"] * 60, "text": ["a"] * 60}, row_group_size=30)
    spec = spec_of(path, shard_bytes=1)
    _, second = shards_of(spec)
    write_parquet(path, columns, row_group_size=group_size)
    with pytest.raises(ShardError, match=message):
        list(read(second, spec))


def test_a_column_without_a_type_has_no_values(tmp_path):
    columns = {"id": ["a", "b"], "text": ["x", "y"], "note": pa.nulls(2)}
    everything = read_columns_as(tmp_path / "a.parquet", columns, carry=("note",))
    assert [math.isnan(value) for value in everything.column("note")] == [True, True]
    assert everything.count("carry_nulls") == 0


def test_a_text_column_without_a_type_is_put_into_quarantine(tmp_path):
    everything = read_columns_as(tmp_path / "a.parquet", {"id": ["a"], "text": pa.nulls(1)})
    assert everything.reasons == ["text is null"]


def test_integers_are_carried_as_floats_where_floats_are_asked_for(tmp_path):
    columns = {"id": ["a", "b"], "text": ["x", "y"], "share": [3, 4]}
    assert read_columns_as(tmp_path / "a.parquet", columns, carry=("share:float64",)).column("share") == [3.0, 4.0]
