import fsspec
import pyarrow as pa
import pytest
from input_files import documents, json_lines, shards_of, spec_of, write, write_parquet

from curation.core.errors import ShardError
from curation.data.inputs import InputSpec, find
from curation.data.shards import read_shards, split, split_all, write_shards


def names(shards):
    return [shard.name for shard in shards]


def ranges(shards):
    return [(shard.start, shard.stop) for shard in shards]


def mistakes_of(spec):
    return split_all(find(spec).files, spec).mistakes


def test_a_small_file_is_one_shard_and_keeps_its_name(tmp_path):
    write(tmp_path / "a" / "b.jsonl", json_lines(*documents(3)))
    write_parquet(tmp_path / "a" / "c.parquet", {"id": ["1"], "text": ["x"]})
    assert names(shards_of(spec_of(tmp_path))) == ["a/b.jsonl", "a/c.parquet"]


def test_plain_lines_are_cut_at_line_boundaries_into_even_shards(tmp_path):
    data = json_lines(*documents(1000))
    write(tmp_path / "a.jsonl", data)
    shards = shards_of(spec_of(tmp_path, shard_bytes=len(data) // 4 + 1))
    starts, stops = zip(*ranges(shards), strict=True)
    assert len(shards) == 4
    assert (starts[0], *stops) == (*starts, len(data))
    assert all(data[stop - 1 : stop] == b"\n" for stop in stops)
    assert max(shard.num_bytes for shard in shards) - min(shard.num_bytes for shard in shards) < 100
    assert names(shards) == [f"a.jsonl.bytes-{start}-{stop}" for start, stop in ranges(shards)]
    assert {shard.num_rows for shard in shards} == {-1}


def test_a_line_longer_than_a_shard_is_not_cut(tmp_path):
    data = json_lines({"text": "short"}, {"text": "long" * 100_000}, {"text": "short"})
    write(tmp_path / "a.jsonl", data)
    shards = shards_of(spec_of(tmp_path, shard_bytes=1000))
    assert ranges(shards) == [(0, len(data) - 18), (len(data) - 18, len(data))]


@pytest.mark.parametrize("data", [b"", b"{}", b"\n", b"no newline anywhere " * 100])
def test_what_cannot_be_cut_is_one_shard(tmp_path, data):
    write(tmp_path / "a.jsonl", data)
    (shard,) = shards_of(spec_of(tmp_path, shard_bytes=10))
    assert (shard.name, shard.start, shard.stop) == ("a.jsonl", 0, len(data))


def test_a_compressed_file_is_one_shard(tmp_path):
    write(tmp_path / "a.jsonl.gz", b"x" * 1000)
    (shard,) = shards_of(spec_of(tmp_path, shard_bytes=10))
    assert (shard.name, shard.compression, shard.num_bytes) == ("a.jsonl.gz", "gzip", 1000)


def test_parquet_is_cut_between_row_groups_by_uncompressed_bytes(tmp_path):
    columns = {"id": [str(place) for place in range(1000)], "text": ["t" * 100] * 1000}
    write_parquet(tmp_path / "a.parquet", columns, row_group_size=100, use_dictionary=False, compression="zstd")
    shards = shards_of(spec_of(tmp_path, shard_bytes=25_000))
    assert ranges(shards) == [(0, 300), (300, 600), (600, 900), (900, 1000)]
    assert [(shard.first_group, shard.stop_group) for shard in shards] == [(0, 3), (3, 6), (6, 9), (9, 10)]
    assert [shard.num_rows for shard in shards] == [300, 300, 300, 100]
    assert names(shards) == [f"a.parquet.rows-{start}-{stop}" for start, stop in ranges(shards)]
    assert all(30_000 < shard.num_bytes < 40_000 for shard in shards[:3])


def test_a_parquet_file_without_rows_is_one_shard_without_rows(tmp_path):
    write_parquet(
        tmp_path / "a.parquet", pa.table({"id": pa.array([], pa.string()), "text": pa.array([], pa.string())})
    )
    (shard,) = shards_of(spec_of(tmp_path))
    assert (shard.name, shard.start, shard.stop, shard.num_rows) == ("a.parquet", 0, 0, 0)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1\xff\xff\xff\x7fPAR1", b"not Parquet at all" * 10])
def test_a_parquet_file_without_a_footer_is_one_shard_that_will_fail(tmp_path, data):
    write(tmp_path / "bad.parquet", data)
    write_parquet(tmp_path / "good.parquet", {"id": ["1"], "text": ["x"]})
    spec = spec_of(tmp_path)
    result = split_all(find(spec).files, spec)
    assert [(shard.name, shard.num_rows) for shard in result.shards] == [("bad.parquet", -1), ("good.parquet", 1)]
    assert result.mistakes == ()
    assert len(result.unreadable) == 1
    assert result.unreadable[0].startswith(f"{tmp_path}/bad.parquet: ")


def test_a_file_that_vanished_is_one_shard_that_will_fail(tmp_path):
    path = write(tmp_path / "a.jsonl", json_lines(*documents(10)))
    spec = spec_of(tmp_path, shard_bytes=50)
    (file,) = find(spec).files
    path.unlink()
    result = split(file, spec)
    assert names(result.shards) == ["a.jsonl"]
    assert result.unreadable[0].startswith(f"{path}: cannot be opened")


@pytest.mark.parametrize(
    ("columns", "settings", "mistake"),
    [
        ({"id": ["1"], "body": ["x"]}, {}, "the column 'text' is needed once, and the file has only id, body."),
        ({"text": ["x"]}, {}, "the column 'id' is needed once, and the file has only text (write id_column = \"\""),
        (
            {"id": ["1"], "text": [1]},
            {},
            "the text column 'text' holds int64, not strings; name the column of the text.",
        ),
        ({"id": ["1"], "text": [["x"]]}, {}, "the text column 'text' holds list<"),
        (
            {"id": ["1"], "text": ["x"], "year": [2024]},
            {"carry": ("year",)},
            "the carried column 'year' holds int64, not string; write \"year:int64\".",
        ),
        (
            {"id": ["1"], "text": ["x"], "share": [1.5]},
            {"carry": ("share:int64",)},
            "the carried column 'share' holds double, not int64; write \"share:float64\".",
        ),
        (
            {"id": ["1"], "text": ["x"], "tags": [["a"]]},
            {"carry": ("tags",)},
            "not string; what can be carried is string, int64, float64, bool.",
        ),
        ({"id": ["1"], "text": ["x"]}, {"carry": ("lang",)}, "the column 'lang' is needed once"),
    ],
)
def test_a_parquet_column_that_does_not_fit_is_a_mistake(tmp_path, columns, settings, mistake):
    write_parquet(tmp_path / "a.parquet", columns)
    (found,) = mistakes_of(spec_of(tmp_path, **settings))
    assert found.startswith(f"{tmp_path}/a.parquet: ")
    assert mistake in found


def test_a_column_that_is_there_twice_is_a_mistake(tmp_path):
    write_parquet(tmp_path / "a.parquet", pa.table([["1"], ["x"], ["y"]], names=["id", "text", "text"]))
    (found,) = mistakes_of(spec_of(tmp_path))
    assert "the column 'text' is needed once, and the file has 2 times." in found


def test_the_same_mistake_of_many_files_is_told_once_with_their_number(tmp_path):
    for name in "abc":
        write_parquet(tmp_path / f"{name}.parquet", {"id": ["1"], "body": ["x"]})
    write_parquet(tmp_path / "d.parquet", {"id": ["1"], "text": [1]})
    first, second = mistakes_of(spec_of(tmp_path))
    assert first.startswith(f"{tmp_path}/a.parquet (and 2 other files): the column 'text'")
    assert second.startswith(f"{tmp_path}/d.parquet: the text column 'text' holds int64")


TEXT_TYPES = [
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.large_binary(),
    pa.dictionary(pa.int32(), pa.string()),
]


@pytest.mark.parametrize("kind", TEXT_TYPES, ids=str)
def test_every_kind_of_string_can_be_the_text(tmp_path, kind):
    write_parquet(tmp_path / "a.parquet", {"id": ["1", "2"], "text": pa.array(["x", "y"]).cast(kind)})
    assert mistakes_of(spec_of(tmp_path)) == ()


def test_the_plan_comes_back(tmp_path):
    write(tmp_path / "data" / "a.jsonl", json_lines(*documents(100)))
    write(tmp_path / "data" / "b.jsonl.zst", b"")
    write_parquet(tmp_path / "data" / "c.parquet", {"id": ["1"] * 9, "text": ["x"] * 9}, row_group_size=3)
    shards = shards_of(spec_of(tmp_path / "data", shard_bytes=100))
    write_shards(str(tmp_path / "shards.parquet"), shards)
    assert read_shards(str(tmp_path / "shards.parquet")) == shards


def test_an_empty_plan_comes_back(tmp_path):
    write_shards(str(tmp_path / "shards.parquet"), [])
    assert read_shards(str(tmp_path / "shards.parquet")) == ()


def test_a_damaged_plan_cannot_be_read(tmp_path):
    write(tmp_path / "shards.parquet", b"not Parquet")
    with pytest.raises(ShardError, match="is damaged"):
        read_shards(str(tmp_path / "shards.parquet"))


def test_remote_files_are_split_like_local_ones(tmp_path):
    memory = fsspec.filesystem("memory")
    try:
        data = json_lines(*documents(100))
        parquet = write_parquet(
            tmp_path / "b.parquet", {"id": ["1"] * 9, "text": ["x"] * 9}, row_group_size=3
        ).read_bytes()
        write(tmp_path / "a.jsonl", data)
        memory.pipe_file("/data/a.jsonl", data)
        memory.pipe_file("/data/b.parquet", parquet)
        remote = shards_of(InputSpec(("memory://data",), shard_bytes=200))
        local = shards_of(spec_of(tmp_path, shard_bytes=200))
        assert len(local) > 10
        assert [(s.name, s.start, s.stop, s.num_bytes) for s in remote] == [
            (s.name, s.start, s.stop, s.num_bytes) for s in local
        ]
    finally:
        memory.store.clear()
