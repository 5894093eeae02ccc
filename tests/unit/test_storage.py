import errno
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest
from fsspec.registry import _registry

from curation.core.errors import ConfigError, ShardError
from curation.data import storage
from curation.data.explaining import redacted


@pytest.fixture(params=["local", "memory"])
def root(request, tmp_path):
    if request.param == "local":
        yield str(tmp_path)
        return
    yield "memory://storage"
    fsspec.filesystem("memory").store.clear()


def everything_below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_embedded_names_a_place_in_the_package():
    package = Path(storage.__file__).parent.parent
    assert storage.local_path("embedded:documents") == package / "embedded" / "documents"
    assert storage.resolve("embedded:a/b") == str(package / "embedded" / "a" / "b")
    assert storage.filesystem("embedded:a")[1] == str(package / "embedded" / "a")


def test_other_names_stay_what_they_are():
    assert storage.local_path("some/where") == Path("some/where")
    assert storage.resolve("s3://bucket/embedded:x") == "s3://bucket/embedded:x"


@pytest.mark.parametrize("name", ["a::b.jsonl", "with space#%20?.jsonl", "new\nline.jsonl", "[bracket]*.jsonl"])
def test_a_local_path_may_hold_any_character(tmp_path, name):
    storage.write_bytes(str(tmp_path / name), b"x")
    assert storage.read_bytes(str(tmp_path / name)) == b"x"
    assert storage.list_files(str(tmp_path)) == [name]


def test_a_file_url_is_a_local_path(tmp_path):
    storage.write_bytes(f"file://{tmp_path}/a", b"x")
    assert storage.is_local(f"file://{tmp_path}/a")
    assert (tmp_path / "a").read_bytes() == b"x"


def test_parts_are_joined_after_any_root():
    assert storage.join("memory://", "a", "b.json") == "memory://a/b.json"
    assert storage.join("s3://bucket/run/", "/a") == "s3://bucket/run/a"
    assert storage.join("/run", "rows", "a/b.parquet") == "/run/rows/a/b.parquet"


def test_an_unknown_protocol_is_a_mistake():
    with pytest.raises(ConfigError, match=r"nothing://x: nothing here can open nothing:// paths"):
        storage.filesystem("nothing://x")


def test_a_store_whose_package_is_missing_names_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(_registry, "s3", raising=False)
    with pytest.raises(ConfigError, match=re.escape("pip install '.[s3]'.")):
        storage.filesystem("s3://bucket/run")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://AKIA:se/c+ret@bucket/run", "s3://…@bucket/run"),
        ("sftp://me:12345678@host/run", "sftp://…@host/run"),
        ("https://host/a.jsonl?X-Amz-Date=1&X-Amz-Signature=abc", "https://host/a.jsonl?X-Amz-Date=1&…"),
        ("abfs://c@account/a.jsonl?sv=1&sig=abc", "abfs://c@account/a.jsonl?sv=1&…"),
    ],
)
def test_a_url_with_credentials_is_a_mistake_that_does_not_show_them(url, shown):
    with pytest.raises(ConfigError) as caught:
        storage.filesystem(url)
    assert str(caught.value).startswith(f"{shown}: holds credentials")
    assert "environment or a profile" in str(caught.value)


@pytest.mark.parametrize(
    "url", ["hdfs://name:8020/user@x/run", "s3://bucket/a:b@c", "abfs://container@account/run", "memory://a?b=c"]
)
def test_a_url_without_credentials_is_shown_as_it_is(url):
    assert redacted(url) == url


def test_bytes_come_back_and_replace_what_was_there(root):
    url = storage.join(root, "deep/er/file.json")
    storage.write_bytes(url, b"first")
    storage.write_bytes(url, b"second")
    assert storage.exists(url)
    assert storage.read_bytes(url) == b"second"
    assert storage.list_files(root) == ["deep/er/file.json"]


def test_a_streamed_file_appears_when_the_block_ends(root):
    url = storage.join(root, "streamed")
    with storage.committed(url) as file:
        file.write(b"one ")
        assert not storage.exists(url)
        file.write(b"two")
    assert storage.read_bytes(url) == b"one two"


def test_a_block_that_raises_leaves_nothing_and_keeps_what_was_there(root):
    url = storage.join(root, "file")
    storage.write_bytes(url, b"old")

    def write_half_of_it():
        with storage.committed(url) as file:
            file.write(b"new")
            raise KeyError("halfway")

    with pytest.raises(KeyError, match="halfway"):
        write_half_of_it()
    assert storage.read_bytes(url) == b"old"
    assert storage.list_files(root) == ["file"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_explained_and_leaves_nothing(tmp_path, monkeypatch, call):
    owner = os if call == "fsync" else Path
    monkeypatch.setattr(owner, call, full_disk)
    with pytest.raises(
        ShardError, match=r"file: cannot be written: No space left on device\. Free some space"
    ) as error:
        storage.write_bytes(str(tmp_path / "file"), b"data")
    assert isinstance(error.value.__cause__, OSError)
    assert everything_below(tmp_path) == []


def test_a_disk_that_fails_is_explained_and_leaves_what_was_there(tmp_path, monkeypatch):
    def broken(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    storage.write_bytes(str(tmp_path / "file"), b"old")
    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(ShardError, match=r"file: cannot be written: Input/output error\. Check the disk or the mount"):
        storage.write_bytes(str(tmp_path / "file"), b"new")
    assert (everything_below(tmp_path), (tmp_path / "file").read_bytes()) == (["file"], b"old")


def test_what_the_block_raises_is_not_blamed_on_the_file(root):
    with pytest.raises(FileNotFoundError, match="a model"), storage.committed(storage.join(root, "file")):
        raise FileNotFoundError("a model")
    assert storage.list_files(root) == []


@pytest.mark.parametrize("num_bytes", [5000, 100_000], ids=["buffered", "written through"])
def test_a_file_that_may_not_grow_is_explained(tmp_path, num_bytes):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(ShardError, match=r"cannot be written: File too large\. Raise the limit"):
            storage.write_bytes(str(tmp_path / "file"), bytes(num_bytes))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert everything_below(tmp_path) == []


def test_a_folder_in_the_place_of_the_file_is_explained(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(ShardError, match="file: cannot be written"):
        storage.write_bytes(str(tmp_path / "file"), b"data")
    assert everything_below(tmp_path) == []


def test_too_long_a_name_is_explained(tmp_path):
    with pytest.raises(ShardError, match="Shorten the names"):
        storage.write_bytes(str(tmp_path / ("n" * 300)), b"data")
    assert everything_below(tmp_path) == []


def test_a_missing_file_is_explained(root):
    with pytest.raises(ShardError, match="absent: cannot be opened"):
        storage.read_bytes(storage.join(root, "absent"))


def test_scratch_files_lie_in_the_folder_of_the_run_until_they_are_swept(tmp_path):
    root = str(tmp_path)
    assert storage.sweep_scratch(root) == 0
    with storage.committed(storage.join(root, "rows/a/b.parquet")) as file:
        scratch = Path(file.name)
        left_behind = scratch.with_name(f"left-behind{storage.SCRATCH}")
        left_behind.write_bytes(b"by a run that was killed")
    assert scratch.parent == tmp_path / storage.SCRATCH
    assert storage.list_files(root) == ["rows/a/b.parquet"]
    assert storage.sweep_scratch(root) == 1
    assert everything_below(tmp_path) == ["rows/a/b.parquet"]


def test_without_a_run_scratch_files_lie_beside_the_target(tmp_path):
    with storage.committed(str(tmp_path / "a" / "b")) as file:
        assert Path(file.name).parent == tmp_path / "a"
        assert storage.list_files(str(tmp_path)) == []


def test_a_process_that_is_killed_while_writing_leaves_what_a_sweep_removes(tmp_path):
    storage.sweep_scratch(str(tmp_path))
    storage.write_bytes(str(tmp_path / "rows" / "file"), b"old")
    program = (
        "import sys, signal; from curation.data import storage\n"
        "with storage.committed(sys.argv[1]) as file:\n"
        "    file.write(b'half'); file.flush(); signal.raise_signal(signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path / "rows" / "file")], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "rows" / "file").read_bytes() == b"old"
    assert len(everything_below(tmp_path)) == 2
    assert storage.sweep_scratch(str(tmp_path)) == 1
    assert everything_below(tmp_path) == ["rows/file"]


def test_what_a_sweep_took_away_can_no_longer_be_committed(tmp_path):
    storage.sweep_scratch(str(tmp_path))

    def write_while_another_run_sweeps():
        with storage.committed(str(tmp_path / "file")) as file:
            file.write(b"data")
            storage.sweep_scratch(str(tmp_path))

    with pytest.raises(ShardError, match="cannot be written: No such file"):
        write_while_another_run_sweeps()
    assert everything_below(tmp_path) == []


@pytest.fixture
def synced(monkeypatch):
    """What is synced from now on, in order."""
    paths = []
    sync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda number: (paths.append(Path(f"/proc/self/fd/{number}").readlink()), sync(number))
    )
    return paths


def test_the_folders_of_a_new_file_are_synced_up_to_the_one_that_was_there(tmp_path, synced):
    storage.write_bytes(str(tmp_path / "a" / "b" / "file"), b"data")
    assert [tmp_path, tmp_path / "a"] == synced[:2]
    assert synced[-1] == tmp_path / "a" / "b"
    assert len(synced) == 4


def test_a_committed_file_is_synced_and_its_folder_only_with_all_folders(tmp_path, synced):
    (tmp_path / "a" / "b").mkdir(parents=True)
    with storage.committed(str(tmp_path / "a" / "b" / "file")) as file:
        scratch = Path(file.name)
    assert synced == [scratch]
    storage.sync_folders(str(tmp_path))
    assert synced[1:] == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]


def test_folders_of_a_store_need_no_sync(synced):
    storage.sync_folders("memory://run")
    assert synced == []


def test_lines_are_added_at_the_end(tmp_path):
    url = str(tmp_path / "log" / "1.jsonl")
    storage.append_bytes(url, b"one\n")
    storage.append_bytes(url, b"two\n")
    assert storage.read_bytes(url) == b"one\ntwo\n"


def test_lines_that_do_not_fit_leave_the_file_as_it_was(tmp_path):
    url = str(tmp_path / "log")
    storage.append_bytes(url, b"one\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(ShardError, match="cannot be written"):
            storage.append_bytes(url, b"two is too long\n")
        storage.append_bytes(url, b"three\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert storage.read_bytes(url) == b"one\nthree\n"


def test_a_file_is_created_once(root):
    url = storage.join(root, "deep/er/file")
    assert [storage.create_bytes(url, b"first"), storage.create_bytes(url, b"second")] == [True, False]
    assert (storage.read_bytes(url), storage.list_files(root)) == (b"first", ["deep/er/file"])


def test_a_file_is_replaced_where_it_holds_what_it_held(root):
    url = storage.join(root, "file")
    assert not storage.replace_bytes(url, b"old", b"new")
    storage.write_bytes(url, b"old")
    assert not storage.replace_bytes(url, b"older", b"new")
    assert storage.read_bytes(url) == b"old"
    assert storage.replace_bytes(url, b"old", b"new")
    assert (storage.read_bytes(url), storage.list_files(root)) == (b"new", ["file"])


def test_the_end_of_a_file_is_read_and_all_of_a_shorter_one(root):
    url = storage.join(root, "file")
    assert storage.read_end(url, 3) is None
    storage.write_bytes(url, b"012345")
    assert (storage.read_end(url, 3), storage.read_end(url, 9)) == (b"345", b"012345")


def test_a_file_for_a_store_waits_without_a_name():
    with storage.committed("memory://storage/file") as file:
        assert not isinstance(file.name, str)


def test_scratch_files_of_a_lock_are_swept_too(tmp_path):
    (tmp_path / f".1-ab{storage.SCRATCH}").write_bytes(b"by a run that was killed")
    assert storage.sweep_scratch(str(tmp_path)) == 1
    assert everything_below(tmp_path) == []


def test_removing_twice_is_fine(root):
    url = storage.join(root, "file")
    storage.write_bytes(url, b"data")
    storage.write_bytes(storage.join(root, "other"), b"data")
    storage.remove(url)
    storage.remove(url)
    assert storage.list_files(root) == ["other"]


def test_a_folder_that_is_not_there_has_no_files(tmp_path):
    assert storage.list_files(str(tmp_path / "absent")) == []
    assert storage.list_files("memory://absent") == []


def test_free_space_is_that_of_the_disk_that_the_path_will_lie_on(tmp_path):
    free = storage.free_bytes(str(tmp_path / "not" / "yet" / "there"))
    assert free is not None
    assert free > 0
    assert storage.free_bytes("memory://run") is None


def test_a_folder_gets_its_name_whole(tmp_path):
    (tmp_path / "scratch" / "deep").mkdir(parents=True)
    (tmp_path / "scratch" / "deep" / "file").write_bytes(b"all of it")
    storage.rename_folder(tmp_path / "scratch", tmp_path / "done")
    assert [path.name for path in tmp_path.iterdir()] == ["done"]
    assert (tmp_path / "done" / "deep" / "file").read_bytes() == b"all of it"


def test_a_folder_is_not_renamed_onto_another(tmp_path):
    for name in ("scratch", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name, encoding="utf-8")
    with pytest.raises(ShardError):
        storage.rename_folder(tmp_path / "scratch", tmp_path / "there")
    assert (tmp_path / "there" / "file").read_text(encoding="utf-8") == "there"
