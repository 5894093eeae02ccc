"""A disk that is full or broken: no half file, a clear sentence, and the same command goes on when it is well."""

import subprocess

import pytest
from run_files import contents, execute


@pytest.fixture
def small_disk(tmp_path):
    """A disk of a megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small disk is a tmpfs of its own, which may not be mounted here (it needs root)")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def words(text):
    """A text without the breaks of its lines."""
    return " ".join(text.split())


def files_of(folder, *tops):
    return [path for top in tops for path in (folder / top).rglob("*") if path.is_file()]


def test_a_full_disk_fails_shards_in_a_sentence_and_the_same_command_finishes_when_it_has_room(
    tables, small_disk, tmp_path
):
    expected = contents(execute(tables | {"output": str(tmp_path / "undisturbed")}, "documents=true").folder)
    tables["output"] = str(small_disk / "run")
    other = small_disk / "other"
    other.write_bytes(bytes(900_000))
    first = execute(tables, "documents=true")
    assert first.code == 1
    assert "cannot be written: No space left on device. Free some space or choose another output" in words(first.text)
    found = contents(first.folder)
    assert {name: data for name, data in found.items() if expected.get(name) != data} == {}
    assert len(found) < len(expected)
    assert files_of(first.folder, ".scratch") == []
    other.unlink()
    second = execute(tables, "documents=true")
    assert (second.code, contents(second.folder)) == (0, expected)


def test_a_broken_disk_fails_shards_in_a_sentence_and_the_same_command_finishes_when_it_is_well(
    tables, client, tmp_path
):
    def break_disk():
        import errno
        import os

        def broken(_):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        os.whole, os.fsync = os.fsync, broken

    def repair_disk():
        import os

        os.fsync = os.whole

    expected = contents(execute(tables | {"output": str(tmp_path / "undisturbed")}).folder)
    client.run(break_disk)
    try:
        first = execute(tables)
    finally:
        client.run(repair_disk)
    assert first.code == 1
    said = words(first.text)
    assert f".jsonl: {tables['output']}/" in said
    assert "cannot be written: Input/output error. Check the disk or the mount, then start the same command" in said
    assert files_of(first.folder, "rows", "scores", ".scratch") == []
    second = execute(tables)
    assert (second.code, contents(second.folder)) == (0, expected)


def test_what_a_dead_worker_left_is_swept_and_said(tables):
    folder = execute(tables).folder
    (folder / ".scratch" / ".4711-ab.scratch").write_bytes(b"half a file, of a worker on any host")
    done = execute(tables)
    assert "swept: 1 scratch files that no run writes any more" in done.text
    assert files_of(folder, ".scratch") == []
    assert '"swept": 1' in (folder / "log" / "2.jsonl").read_text()
