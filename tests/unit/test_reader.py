import fsspec
import pytest
from input_files import (
    Everything,
    compressed,
    documents,
    json_lines,
    read_bytes_as,
    shards_of,
    spec_of,
    write,
    write_parquet,
)

from curation.core.errors import ShardError
from curation.data.inputs import InputSpec
from curation.data.reader import Counts, read, where_mistakes

BLANKS = ["", " ", "\t\n\r\x0b\x0c", "\u00a0\u2003\u3000", "\x1c\x85\u2028"]
NOT_BLANK = ["\u200b", "\x00", ".", "\ufeff"]


def test_a_frame_has_its_columns_in_their_types(tmp_path):
    everything = read_bytes_as(
        tmp_path / "a.jsonl",
        json_lines({"id": "x", "text": "café"}),
        carry=("lang", "year:int64", "share:float64", "seen:bool"),
    )
    (frame,) = everything.frames
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        "position": "int64",
        "id": "str",
        "text": "str",
        "n_bytes": "int64",
        "n_chars": "int64",
        "state": "str",
        "lang": "str",
        "year": "Int64",
        "share": "Float64",
        "seen": "boolean",
    }
    assert frame.iloc[0, :6].tolist() == [0, "x", "café", 5, 4, "ok"]


def test_a_partition_of_broken_rows_alone_has_an_empty_frame_of_the_same_columns(tmp_path):
    good = read_bytes_as(tmp_path / "good.jsonl", json_lines({"text": "a"}), carry=("year:int64",), where="year > 0")
    bad = read_bytes_as(tmp_path / "bad.jsonl", b"broken\n", carry=("year:int64",), where="year > 0")
    assert len(bad.frames[0]) == 0
    assert bad.frames[0].dtypes.equals(good.frames[0].dtypes)


def test_only_white_space_is_blank(tmp_path):
    data = json_lines(*({"text": text} for text in BLANKS + NOT_BLANK))
    everything = read_bytes_as(tmp_path / "a.jsonl", data)
    assert everything.column("state") == ["blank"] * len(BLANKS) + ["ok"] * len(NOT_BLANK)
    assert everything.texts == BLANKS + NOT_BLANK


@pytest.mark.parametrize(
    ("where", "selected"),
    [
        ("lang == 'en'", [1, 0, 0, 1]),
        ("lang in ['en', 'de']", [1, 1, 0, 1]),
        ("year > 2020", [1, 0, 0, 0]),
        ("year > 2020 or lang == 'de'", [1, 1, 0, 0]),
        ("not (year > 2020)", [0, 1, 0, 0]),
        ("seen", [1, 0, 0, 0]),
        ("lang.str.startswith('e')", [1, 0, 0, 1]),
        ("lang.isna()", [0, 0, 1, 0]),
    ],
)
def test_a_row_is_selected_where_the_expression_is_true_and_not_null(tmp_path, where, selected):
    data = json_lines(
        {"text": "a", "lang": "en", "year": 2024, "seen": True},
        {"text": "b", "lang": "de", "year": 2019, "seen": False},
        {"text": "c"},
        {"text": " ", "lang": "en"},
    )
    everything = read_bytes_as(tmp_path / "a.jsonl", data, carry=("lang", "year:int64", "seen:bool"), where=where)
    read_states = ["ok", "ok", "ok", "blank"]
    expected = [state if chosen else "not_selected" for chosen, state in zip(selected, read_states, strict=True)]
    assert everything.column("state") == expected
    assert everything.texts == ["a", "b", "c", " "]
    assert everything.states == [expected.count("ok"), expected.count("blank"), expected.count("not_selected"), 0]


@pytest.mark.parametrize("where", ["", "lang == 'en' and year >= 2000", "`a b` == 'x'", "lang.str.len() == 2"])
def test_an_expression_over_carried_columns_is_no_mistake(where):
    assert where_mistakes(InputSpec(("data",), carry=("lang", "year:int64", "a b"), where=where)) == []


@pytest.mark.parametrize(
    "where",
    [
        "lang ==",
        "url == 'x'",
        "year > 'a'",
        "lang > 5",
        "lang",
        "True",
        "1",
        "text == 'x'",
        "state == 'ok'",
        "new = lang == 'en'",
        "@spec",
        "len(lang) > 1",
    ],
)
def test_a_wrong_expression_is_a_mistake(where):
    (mistake,) = where_mistakes(InputSpec(("data",), carry=("lang", "year:int64"), where=where))
    assert mistake.startswith(
        f"[input] where: {where!r} cannot be evaluated over the carried columns lang:string, year:int64: "
    )


def test_an_expression_is_parsed_even_beside_a_wrong_type():
    (mistake,) = where_mistakes(InputSpec(("data",), carry=("lang", "year:int"), where="lang =="))
    assert "invalid syntax" in mistake
    assert where_mistakes(InputSpec(("data",), carry=("lang", "year:int"), where="year > 5")) == []


def test_an_expression_that_fails_on_the_data_is_an_error_of_the_shard(tmp_path):
    path = write(tmp_path / "a.jsonl", json_lines({"text": "a", "lang": "en"}, {"text": "b", "lang": "de"}))
    with pytest.raises(ShardError, match="does not give true or false for each row"):
        Everything(spec_of(path, carry=("lang",), where="lang.head(1) == 'en'"))


def test_partitions_hold_at_most_their_bytes_and_a_longer_document_goes_alone(tmp_path):
    lengths = [100, 100, 5000, 100, 100, 100, 900, 950, 10]
    data = json_lines(*({"id": "i", "text": "x" * length} for length in lengths))
    everything = read_bytes_as(tmp_path / "a.jsonl", data, partition_bytes=1000)
    assert [frame["n_bytes"].tolist() for frame in everything.frames] == [
        [100, 100],
        [5000],
        [100, 100, 100],
        [900],
        [950],
        [10],
    ]


def test_rows_without_text_fill_a_partition_too(tmp_path):
    everything = read_bytes_as(tmp_path / "a.jsonl", b'{"text": ""}\n' * 100 + b"broken\n" * 100, partition_bytes=1000)
    assert len(everything.frames) > 10
    assert (everything.count("read"), everything.states) == (200, [0, 100, 0, 100])


def test_partitions_do_not_depend_on_the_batches_of_the_file(tmp_path):
    columns = {"id": [str(place) for place in range(500)], "text": ["x" * (place % 90) for place in range(500)]}
    lengths = []
    for group_size in (7, 64, 500):
        write_parquet(tmp_path / "a.parquet", columns, row_group_size=group_size)
        everything = Everything(spec_of(tmp_path, partition_bytes=2000))
        lengths.append([len(frame) for frame in everything.frames])
    assert lengths[0] == lengths[1] == lengths[2]
    assert len(lengths[0]) > 10


def test_counts_add_up_and_say_what_was_made(tmp_path):
    data = json_lines(
        {"id": "1", "text": "a", "year": 2024},
        {"text": "b", "year": "2024"},
        {"id": "3", "text": " ", "year": 2024},
        {"id": "4", "text": 5},
        b"broken",
        {"id": "6", "text": "c", "year": 1999},
    )
    everything = read_bytes_as(tmp_path / "a.jsonl", data, carry=("year:int64",), where="year > 2000")
    assert everything.readers[0].counts == Counts(
        read=6, ok=1, blank=1, not_selected=2, quarantined=2, made_ids=1, carry_nulls=1
    )


def test_nothing_is_final_before_the_last_partition(tmp_path):
    path = write(tmp_path / "a.jsonl", json_lines({"text": "a"}, {"text": "b"}))
    spec = spec_of(path, partition_bytes=1)
    (shard,) = shards_of(spec)
    reader = read(shard, spec)
    partitions = iter(reader)
    next(partitions)
    assert (reader.counts.read, reader.fingerprint) == (0, "")
    assert len(list(partitions)) == 1
    assert reader.counts.read == 2
    assert len(reader.fingerprint) == 32


def test_a_reader_can_be_asked_again(tmp_path):
    path = write(tmp_path / "a.jsonl", json_lines({"text": "a"}, {"text": "b"}))
    (shard,) = shards_of(spec_of(path))
    reader = read(shard, spec_of(path))
    first = [partition.frame.to_dict() for partition in reader]
    assert [partition.frame.to_dict() for partition in reader] == first
    assert reader.counts == Counts(read=2, ok=2, made_ids=2)


def test_a_missing_file_is_an_error(tmp_path):
    path = write(tmp_path / "a.jsonl", json_lines({"text": "a"}))
    spec = spec_of(path)
    (shard,) = shards_of(spec)
    path.unlink()
    with pytest.raises(ShardError, match=r"a\.jsonl: cannot be opened: No such file or directory"):
        list(read(shard, spec))


def test_a_disk_that_fails_while_reading_is_an_error_that_says_where(tmp_path, monkeypatch):
    path = write(tmp_path / "a.jsonl", json_lines({"text": "a"}))
    spec = spec_of(path)
    (shard,) = shards_of(spec)
    fs = fsspec.filesystem("file")

    class Failing:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def read(self, _):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(type(fs), "open", lambda *_: Failing())
    with pytest.raises(ShardError, match=r"a\.jsonl: reading stopped at byte 0: \[Errno 5\] Input/output error"):
        list(read(shard, spec))


def test_remote_files_are_read_like_local_ones(tmp_path):
    memory = fsspec.filesystem("memory")
    for extension in (".jsonl", ".jsonl.gz", ".jsonl.zst"):
        write(tmp_path / f"a{extension}", compressed(json_lines(*documents(50)), extension))
    write_parquet(tmp_path / "d.parquet", {"id": ["1"] * 9, "text": ["x"] * 9}, row_group_size=3)
    try:
        for path in tmp_path.iterdir():
            memory.pipe_file(f"/data/{path.name}", path.read_bytes())
        remote = Everything(InputSpec(("memory://data",), shard_bytes=300))
        local = Everything(spec_of(tmp_path, shard_bytes=300))
        assert remote.texts == local.texts
        assert [reader.fingerprint for reader in remote.readers] == [reader.fingerprint for reader in local.readers]
    finally:
        memory.store.clear()
