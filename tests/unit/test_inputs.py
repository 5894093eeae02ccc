import os

import fsspec
import pytest

from curation.data.inputs import InputSpec, find


@pytest.fixture
def memory():
    fs = fsspec.filesystem("memory")
    yield fs
    fs.store.clear()


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"{}\n")


def found(*paths):
    return find(InputSpec(tuple(str(path) for path in paths)))


def relatives(*paths):
    result = found(*paths)
    assert result.mistakes == ()
    return [file.relative for file in result.files]


def test_a_folder_gives_its_tree_in_order(tmp_path):
    touch(tmp_path, "b/2.jsonl", "b/1.jsonl", "a.parquet", "c/d/e/f.ndjson")
    assert relatives(tmp_path) == ["a.parquet", "b/1.jsonl", "b/2.jsonl", "c/d/e/f.ndjson"]


def test_a_file_is_known_by_its_own_name(tmp_path):
    touch(tmp_path, "a/b.jsonl")
    assert relatives(tmp_path / "a" / "b.jsonl") == ["b.jsonl"]


def test_a_glob_mirrors_the_tree_below_its_fixed_part(tmp_path):
    touch(tmp_path, "x/2023/a.jsonl", "x/2024/a.jsonl", "x/2024/b.txt", "y/2024/a.jsonl")
    assert relatives(f"{tmp_path}/x/*/*.jsonl") == ["2023/a.jsonl", "2024/a.jsonl"]
    assert relatives(f"{tmp_path}/[xy]/2024/a.jsonl") == ["x/2024/a.jsonl", "y/2024/a.jsonl"]


def test_a_glob_of_folders_gives_what_lies_below_them(tmp_path):
    touch(tmp_path, "crawl-1/a/b.jsonl", "crawl-2/c.jsonl", "other/d.jsonl")
    assert relatives(f"{tmp_path}/crawl-*") == ["crawl-1/a/b.jsonl", "crawl-2/c.jsonl"]
    assert relatives(f"{tmp_path}/**") == ["crawl-1/a/b.jsonl", "crawl-2/c.jsonl", "other/d.jsonl"]


def test_a_folder_whose_name_looks_like_a_glob_is_a_folder(tmp_path):
    touch(tmp_path, "data[v1]*/a.jsonl")
    assert relatives(tmp_path / "data[v1]*") == ["a.jsonl"]


@pytest.mark.parametrize("name", ["a::b.jsonl", "space é#%20.jsonl", "new\nline.jsonl", "-o.jsonl"])
def test_a_name_may_hold_any_character(tmp_path, name):
    touch(tmp_path, name)
    assert relatives(tmp_path) == [name]


def test_several_paths_are_one_input(tmp_path):
    touch(tmp_path, "one/a.jsonl", "two/b.jsonl")
    assert relatives(tmp_path / "one", tmp_path / "two" / "b.jsonl") == ["a.jsonl", "b.jsonl"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.parquet", ("parquet", "")),
        ("a.jsonl", ("jsonl", "")),
        ("a.NDJSON", ("jsonl", "")),
        ("a.json", ("jsonl", "")),
        ("a.jsonl.gz", ("jsonl", "gzip")),
        ("c4.00000-of-01024.json.gz", ("jsonl", "gzip")),
        ("a.jsonl.zst", ("jsonl", "zstd")),
        ("a.jsonl.ZSTD", ("jsonl", "zstd")),
    ],
)
def test_format_and_compression_follow_from_the_name(tmp_path, name, kind):
    touch(tmp_path, name)
    (file,) = found(tmp_path).files
    assert (file.format, file.compression) == kind


def test_what_is_no_input_is_ignored_and_listed(tmp_path):
    touch(
        tmp_path,
        "a.jsonl",
        "README.md",
        "_SUCCESS",
        ".hidden/b.jsonl",
        "_temporary/c.jsonl",
        "d.jsonl.bz2",
        "e.parquet.gz",
    )
    result = found(tmp_path)
    assert [file.relative for file in result.files] == ["a.jsonl"]
    by_name, marked = "is neither Parquet nor JSON Lines by its name", "is hidden, or starts with an underscore"
    assert result.ignored == (
        f"{tmp_path}/.hidden/b.jsonl {marked}",
        f"{tmp_path}/README.md {by_name}",
        f"{tmp_path}/_SUCCESS {marked}",
        f"{tmp_path}/_temporary/c.jsonl {marked}",
        f"{tmp_path}/d.jsonl.bz2 {by_name}",
        f"{tmp_path}/e.parquet.gz {by_name}",
    )


def test_what_is_named_exactly_is_never_ignored(tmp_path):
    touch(tmp_path, "_hidden/.a.jsonl", "b.csv")
    assert relatives(tmp_path / "_hidden" / ".a.jsonl") == [".a.jsonl"]
    assert found(tmp_path / "b.csv").mistakes == (f"{tmp_path}/b.csv is neither Parquet nor JSON Lines by its name",)


def test_a_file_of_no_bytes_is_a_file(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"")
    (file,) = found(tmp_path).files
    assert file.num_bytes == 0


def test_every_path_that_leads_nowhere_is_a_mistake(tmp_path):
    touch(tmp_path, "texts/a.txt")
    unknown = (
        "nothing://x: nothing here can open nothing:// paths (Protocol not known: nothing). "
        "Install the fsspec package for it."
    )
    result = found(tmp_path / "absent", f"{tmp_path}/*.parquet", tmp_path / "texts", "nothing://x")
    assert result.files == ()
    assert [mistake.partition(";")[0] for mistake in result.mistakes] == [
        f"[input] path: '{tmp_path}/absent' cannot be listed: there is no such file or folder.",
        f"[input] path: '{tmp_path}/*.parquet' holds no file to read",
        f"[input] path: '{tmp_path}/texts' holds no file to read",
        f"[input] path: 'nothing://x' cannot be listed: {unknown}",
    ]


def test_a_file_that_is_found_twice_is_a_mistake(tmp_path):
    touch(tmp_path, "a/b.jsonl", "a/c.jsonl")
    assert found(tmp_path, tmp_path / "a" / "b.jsonl").mistakes == (
        f"[input] path: {tmp_path}/a/b.jsonl is found 2 times; name each file or folder once.",
    )


def test_outputs_that_would_collide_are_mistakes_and_all_are_listed(tmp_path):
    touch(tmp_path, "one/x/a.jsonl", "two/x/a.jsonl", "one/b.jsonl", "two/b.jsonl", "two/c.jsonl")
    assert found(tmp_path / "one", tmp_path / "two").mistakes == tuple(
        f"[input] path: {tmp_path}/one/{name}, {tmp_path}/two/{name} would all be written as '{name}'; "
        "name the folder above them as one path, or rename them."
        for name in ("b.jsonl", "x/a.jsonl")
    )


def test_a_folder_where_an_output_goes_is_a_mistake(tmp_path):
    touch(tmp_path, "a.jsonl", "a.jsonl.parquet/b.jsonl")
    assert found(tmp_path).mistakes == (
        "[input] path: the folder 'a.jsonl.parquet' would be written where an output of that name goes; rename it.",
    )


def test_a_link_stands_for_the_file_it_points_to(tmp_path):
    touch(tmp_path, "store/a.jsonl")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link.jsonl").symlink_to(tmp_path / "store" / "a.jsonl")
    (before,) = found(tmp_path / "data").files
    os.utime(tmp_path / "store" / "a.jsonl", ns=(1, 1))
    (after,) = found(tmp_path / "data").files
    assert (before.relative, before.num_bytes) == ("link.jsonl", 3)
    assert before.stamp != after.stamp


def test_a_link_to_a_folder_is_listed_and_not_followed(tmp_path):
    touch(tmp_path, "data/a.jsonl", "elsewhere/b.jsonl")
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "more.jsonl").symlink_to(tmp_path / "elsewhere")
    result = found(tmp_path / "data")
    assert [file.relative for file in result.files] == ["a.jsonl"]
    assert [reason.rpartition("/")[2] for reason in result.ignored] == [
        "loop is a link to a folder, which is not followed; name it as another path",
        "more.jsonl is a link to a folder, which is not followed; name it as another path",
    ]
    assert relatives(tmp_path / "data" / "loop") == ["a.jsonl"]


def test_what_can_never_be_read_is_a_mistake(tmp_path):
    (tmp_path / "broken.jsonl").symlink_to(tmp_path / "absent")
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert set(found(tmp_path).mistakes) == {
        f"[input] path: {tmp_path}/broken.jsonl cannot be read: No such file or directory.",
        f"[input] path: {tmp_path}/pipe.jsonl is not a regular file.",
    }


def test_a_file_that_was_written_anew_has_another_stamp(tmp_path, memory):
    touch(tmp_path, "a.jsonl")
    memory.pipe_file("/data/a.jsonl", b"{}\n")
    before = [found(place).files[0].stamp for place in (tmp_path, "memory://data")]
    assert [found(place).files[0].stamp for place in (tmp_path, "memory://data")] == before
    os.utime(tmp_path / "a.jsonl", ns=(1, 1))
    memory.pipe_file("/data/a.jsonl", b"[]\n")
    after = [found(place).files[0].stamp for place in (tmp_path, "memory://data")]
    assert [old == new for old, new in zip(before, after, strict=True)] == [False, False]


def test_remote_paths_are_found_like_local_ones(memory):
    for name in ("data/a.jsonl", "data/b/c.parquet", "data/_SUCCESS", "data/b/d.jsonl.gz"):
        memory.pipe_file(f"/{name}", b"data")
    result = found("memory://data")
    assert [(file.relative, file.url, file.num_bytes) for file in result.files] == [
        ("a.jsonl", "memory:///data/a.jsonl", 4),
        ("b/c.parquet", "memory:///data/b/c.parquet", 4),
        ("b/d.jsonl.gz", "memory:///data/b/d.jsonl.gz", 4),
    ]
    assert len(result.ignored) == 1
    assert relatives("memory://data/b/*") == ["c.parquet", "d.jsonl.gz"]
    assert relatives("memory://data/a.jsonl") == ["a.jsonl"]
    assert relatives("memory://data/[b]") == ["b/c.parquet", "b/d.jsonl.gz"]


def test_the_default_settings_have_no_mistakes():
    assert InputSpec(("data",)).mistakes() == []
    assert InputSpec(("data",)).columns == ("id", "text")


def test_carried_columns_have_types():
    spec = InputSpec(("data",), carry=("url", "year:int64", "dc:title:string"))
    assert spec.mistakes() == []
    assert spec.carried == {"url": "string", "year": "int64", "dc:title": "string"}


def test_a_column_may_be_both_the_id_and_carried():
    spec = InputSpec(("data",), id_column="url", carry=("url",))
    assert spec.mistakes() == []
    assert spec.columns == ("url", "text")


@pytest.mark.parametrize(
    ("settings", "mistake"),
    [
        ({"path": ()}, "path: is empty"),
        ({"path": ("",)}, "path: is empty"),
        ({"text_column": ""}, "text_column: is empty"),
        ({"id_column": "text"}, "id_column: 'text' is the text column"),
        ({"shard_bytes": 0}, "shard_bytes: 0 bytes"),
        ({"partition_bytes": -1}, "partition_bytes: -1 bytes"),
        ({"carry": ("",)}, "carry: '' names no column"),
        ({"carry": ("year:int",)}, "carry: 'year:int' asks for the type 'int'; the types are string, int64"),
        ({"carry": ("url", "url:string")}, "carry: 'url' is named twice"),
        ({"carry": ("state",)}, "carry: 'state' is a column that every row has already"),
        ({"text_column": "body", "carry": ("body",)}, "carry: 'body' is the text, which stays in the documents"),
        ({"carry": ('a"b',)}, "the column name 'a\"b' holds a quote"),
        ({"where": "lang == 'en'"}, "where: selects on carried columns, but carry is empty"),
    ],
)
def test_a_wrong_setting_is_a_mistake(settings, mistake):
    (found,) = InputSpec(**{"path": ("data",)} | settings).mistakes()
    assert mistake in found
    assert found.startswith("[input]")
