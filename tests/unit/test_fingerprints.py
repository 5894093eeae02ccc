import os

import fsspec
import pytest
import xxhash
from input_files import compressed, documents, json_lines, shards_of, spec_of, write, write_parquet

from curation.core.errors import ShardError
from curation.data.fingerprints import KnownInput, hash_shard, is_unchanged, know, read_inputs, write_inputs
from curation.data.inputs import InputSpec, find
from curation.data.reader import read


def known_now(spec):
    (file,) = find(spec).files
    return file, know(file, shards_of(spec))


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.parquet"])
def test_a_reader_takes_the_same_hash_as_a_look_at_the_file(tmp_path, name):
    if name == "a.parquet":
        write_parquet(tmp_path / name, {"id": ["1"] * 90, "text": ["x"] * 90}, row_group_size=30)
    else:
        write(tmp_path / name, compressed(json_lines(*documents(100)), name.removeprefix("a")))
    spec = spec_of(tmp_path, shard_bytes=500)
    for shard in shards_of(spec):
        reader = read(shard, spec)
        list(reader)
        assert reader.fingerprint == hash_shard(shard)


def test_a_shard_of_lines_is_known_by_exactly_its_bytes(tmp_path):
    data = json_lines(*documents(100))
    write(tmp_path / "a.jsonl", data)
    shards = shards_of(spec_of(tmp_path, shard_bytes=500))
    assert len(shards) > 5
    assert [hash_shard(shard) for shard in shards] == [
        xxhash.xxh3_128_hexdigest(data[shard.start : shard.stop]) for shard in shards
    ]


def test_a_parquet_shard_is_known_by_its_footer(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", {"id": ["1"] * 9, "text": ["x"] * 9}, row_group_size=3)
    data = path.read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    (hashed,) = {hash_shard(shard) for shard in shards_of(spec_of(tmp_path, shard_bytes=1))}
    assert hashed == xxhash.xxh3_128_hexdigest(data[-8 - length : -8])


def test_size_and_stamp_are_trusted(tmp_path):
    path = write(tmp_path / "a.jsonl", json_lines(*documents(3)))
    file, known = known_now(spec_of(path))
    assert is_unchanged(file, known)


@pytest.mark.parametrize("change", ["stamp", "size"])
def test_another_size_or_stamp_is_not_trusted(tmp_path, change):
    path = write(tmp_path / "a.jsonl", json_lines(*documents(3)))
    _, known = known_now(spec_of(path))
    stamp = path.stat().st_mtime_ns
    if change == "size":
        path.write_bytes(path.read_bytes() + b"\n")
        os.utime(path, ns=(stamp, stamp))
    else:
        os.utime(path, ns=(stamp, stamp + 1))
    (file,) = find(spec_of(path)).files
    assert not is_unchanged(file, known)


def test_what_is_not_known_or_has_no_stamp_is_not_trusted(tmp_path):
    path = write(tmp_path / "a.jsonl", b"")
    (file,) = find(spec_of(path)).files
    assert not is_unchanged(file, None)
    unstamped = type(file)(file.url, file.relative, file.format, file.compression, file.num_bytes, "")
    assert not is_unchanged(unstamped, KnownInput(file.url, file.num_bytes, "", {}))


def test_a_touched_file_keeps_its_hashes_and_an_edited_one_does_not(tmp_path):
    path = write(tmp_path / "a.jsonl", json_lines({"text": "one"}, {"text": "two"}))
    _, before = known_now(spec_of(path))
    os.utime(path, ns=(1, 1))
    _, touched = known_now(spec_of(path))
    assert (touched.shards, touched.stamp == before.stamp) == (before.shards, False)
    path.write_bytes(json_lines({"text": "one"}, {"text": "six"}))
    _, edited = known_now(spec_of(path))
    assert edited.shards != before.shards


def test_only_the_shard_that_was_edited_has_another_hash(tmp_path):
    path = write(tmp_path / "a.jsonl", json_lines(*documents(100)))
    spec = spec_of(path, shard_bytes=1000)
    _, before = known_now(spec)
    path.write_bytes(path.read_bytes().replace(b"number 50.", b"NUMBER 50."))
    _, after = known_now(spec)
    assert len(before.shards) > 2
    assert sum(before.shards[name] != after.shards[name] for name in before.shards) == 1


def test_a_file_that_lost_the_boundaries_of_its_shards_cannot_be_hashed(tmp_path):
    path = write(tmp_path / "a.jsonl", json_lines(*documents(100)))
    spec = spec_of(path, shard_bytes=1000)
    (file,), shards = find(spec).files, shards_of(spec)
    path.write_bytes(json_lines({"text": "x"}) + path.read_bytes())
    with pytest.raises(ShardError, match="no line ends at byte"):
        hash_shard(shards[1])
    assert know(file, shards).shards[shards[1].name] == ""


@pytest.mark.parametrize("root", ["local", "memory"])
def test_what_is_known_comes_back(tmp_path, root):
    url = f"{tmp_path}/inputs.json" if root == "local" else "memory://run/inputs.json"
    inputs = {
        "a/b.jsonl": KnownInput("/in/a/b.jsonl", 5, "17", {"a/b.jsonl": "00ff"}),
        "c.parquet": KnownInput("s3://in/c.parquet", 0, "", {}),
    }
    try:
        write_inputs(url, inputs)
        assert read_inputs(url) == inputs
    finally:
        fsspec.filesystem("memory").store.clear()


@pytest.mark.parametrize("data", [None, b"", b"[]", b"{", b'{"a": 1}', b'{"a": {"unknown": 1}}', b"\xff"])
def test_nothing_or_nonsense_means_that_nothing_is_known(tmp_path, data):
    if data is not None:
        (tmp_path / "inputs.json").write_bytes(data)
    assert read_inputs(str(tmp_path / "inputs.json")) == {}


def test_remote_files_are_known_too():
    memory = fsspec.filesystem("memory")
    try:
        memory.pipe_file("/data/a.jsonl", json_lines(*documents(3)))
        spec = InputSpec(("memory://data",))
        file, known = known_now(spec)
        assert is_unchanged(file, known)
        memory.pipe_file("/data/a.jsonl", json_lines(*documents(3)))
        (again,) = find(spec).files
        assert not is_unchanged(again, known)
        assert know(again, shards_of(spec)).shards == known.shards
    finally:
        memory.store.clear()
