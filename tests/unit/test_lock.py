"""curation.execution.lock: one writer at a time, and the dead do not hold."""

import errno
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from fsspec.implementations.local import LocalFileSystem

from curation.core.errors import ClusterError
from curation.execution import lock


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "lock.json"


def read(path):
    return json.loads(path.read_text())


def hold(path):
    return lock.hold(str(path))


@pytest.fixture
def quick(monkeypatch):
    """Beats of ten milliseconds, and stale after fifty."""
    monkeypatch.setattr(lock, "HEARTBEAT_S", 0.01)
    monkeypatch.setattr(lock, "STALE_AFTER_S", 0.05)


ELSEWHERE = {"host": "elsewhere", "machine": "another"}


def left_by_another(path, **facts):
    """Leave a lock as another run would."""
    with hold(path):
        mine = read(path)
    path.write_text(json.dumps(mine | {"token": "other"} | facts))


def test_the_lock_is_there_while_it_is_held_and_gone_after(path):
    with hold(path):
        assert read(path)["pid"] == os.getpid()
    assert not path.exists()


def test_a_second_run_is_refused_and_told_who_holds_it(path):
    with hold(path), pytest.raises(ClusterError, match=f"process {os.getpid()} on .* is writing to this run"):
        hold(path).__enter__()


def test_a_holder_in_a_slurm_job_is_named_by_it(path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    with hold(path), pytest.raises(ClusterError) as refused:
        hold(path).__enter__()
    assert f"process {os.getpid()} on {socket.gethostname()}, in Slurm's job 77, is writing to this run" in str(
        refused.value
    )
    assert "Wait for it, scancel 77, or choose another output." in str(refused.value)


def test_a_lock_of_a_version_that_did_not_know_jobs_holds_too(path):
    with hold(path):
        path.write_text(json.dumps({key: value for key, value in read(path).items() if key != "job"}))
        with pytest.raises(ClusterError, match=r"is writing to this run .* Wait for it, stop it, or choose"):
            hold(path).__enter__()


def test_a_dead_process_of_this_host_does_not_hold(path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left_by_another(path, pid=dead.pid)
    with hold(path):
        assert read(path)["pid"] == os.getpid()


def test_a_process_number_that_was_given_again_does_not_hold(path):
    left_by_another(path, process_start=1.0)
    with hold(path):
        assert read(path)["process_start"] != 1.0


def beating(path, monkeypatch, skew_s=0.0):
    """Whenever somebody waits, the holder of a lock beats."""
    beats = (read(path) | {"beat": time.time() + skew_s + number} for number in range(9))
    monkeypatch.setattr(time, "sleep", lambda _: path.write_text(json.dumps(next(beats))))


def test_a_holder_on_another_host_holds_as_long_as_it_beats(path, monkeypatch):
    left_by_another(path, **ELSEWHERE, beat=time.time() - 20)
    beating(path, monkeypatch)
    with pytest.raises(ClusterError, match="on elsewhere is writing"):
        hold(path).__enter__()


@pytest.mark.usefixtures("quick")
def test_a_holder_on_another_host_that_was_killed_just_now_is_waited_for_until_it_is_stale(path, capsys):
    left_by_another(path, **ELSEWHERE)
    with hold(path):
        assert read(path)["pid"] == os.getpid()
    assert "on elsewhere still writes to this run" in capsys.readouterr().err


@pytest.mark.parametrize("ago_s", [61, -61, 1e9], ids=str)
@pytest.mark.usefixtures("quick")
def test_a_holder_on_another_host_that_has_not_and_does_not_is_dead(path, ago_s):
    left_by_another(path, **ELSEWHERE, beat=time.time() - ago_s)
    with hold(path):
        assert read(path)["pid"] == os.getpid()


@pytest.mark.parametrize("skew_s", [-3600, 3600])
@pytest.mark.usefixtures("quick")
def test_a_holder_with_a_wrong_clock_holds_as_long_as_its_heart_beats(path, monkeypatch, skew_s):
    left_by_another(path, **ELSEWHERE, beat=time.time() + skew_s)
    beating(path, monkeypatch, skew_s)
    with pytest.raises(ClusterError, match="on elsewhere is writing"):
        hold(path).__enter__()


def test_a_process_of_the_same_number_in_a_container_of_the_same_name_is_not_taken_for_a_dead_one(path, monkeypatch):
    left_by_another(path, machine="another container", pid=2**22 + 1)
    beating(path, monkeypatch)
    with pytest.raises(ClusterError, match="is writing to this run"):
        hold(path).__enter__()


@pytest.mark.parametrize("content", ['{"host": "els', "[1]", "null", "", '{"unknown": 1}', "\x80"])
@pytest.mark.usefixtures("quick")
def test_a_lock_without_sense_does_not_hold(path, content):
    left_by_another(path)
    path.write_bytes(content.encode("latin-1"))
    with hold(path):
        assert read(path)["pid"] == os.getpid()


def test_a_file_system_without_hard_links_can_be_locked_too(path, monkeypatch):
    def refused(*_):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refused)
    with hold(path), pytest.raises(ClusterError, match="is writing to this run"):
        hold(path).__enter__()
    left_by_another(path, process_start=1)
    with hold(path):
        assert read(path)["process_start"] != 1
    assert list(path.parent.iterdir()) == []


def test_a_link_whose_answer_the_network_lost_was_made(path, monkeypatch):
    link = os.link

    def asked_twice(*names):
        link(*names)
        link(*names)

    monkeypatch.setattr(os, "link", asked_twice)
    with hold(path):
        assert read(path)["pid"] == os.getpid()


def test_a_lock_that_was_taken_over_is_not_removed_by_its_former_holder(path):
    with hold(path):
        holder_now = read(path) | {"token": "the new holder"}
        path.write_text(json.dumps(holder_now))
    assert read(path)["token"] == "the new holder"


def try_to_hold(url, start, held, done):
    lock.HEARTBEAT_S = 2.0  # four processes start at once: none may be seen silent that only waits for its turn
    start.wait()
    try:
        with lock.hold(url):
            held.put(1)
            done.wait(30)
    except ClusterError:
        held.put(0)


def test_of_many_runs_that_find_a_stale_lock_one_takes_it_over(path):
    left_by_another(path, **ELSEWHERE, beat=0.0)
    context = multiprocessing.get_context("spawn")
    start, done, held = context.Barrier(4), context.Event(), context.Queue()
    runs = [context.Process(target=try_to_hold, args=(str(path), start, held, done)) for _ in range(4)]
    for run in runs:
        run.start()
    holders = sum(held.get(timeout=60) for _ in runs)
    done.set()
    for run in runs:
        run.join()
    assert holders == 1
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("now", ["taken over", "gone"])
@pytest.mark.usefixtures("quick")
def test_a_holder_that_wakes_up_without_its_lock_says_so_and_asks_itself_to_stop(path, capsys, now):
    asked = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        with hold(path):
            if now == "gone":
                path.unlink()
            else:
                new = path.with_name("new")
                new.write_text(json.dumps(read(path) | {"token": "the new holder", "host": "elsewhere", "pid": 7}))
                new.replace(path)
            assert asked.wait(10)
        assert path.exists() == (now != "gone")
        assert ("is gone" if now == "gone" else "was taken over by process 7 on elsewhere") in capsys.readouterr().err
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("quick")
def test_a_lock_that_cannot_be_removed_does_not_hide_what_the_run_raises(path, monkeypatch):
    def broken(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def fail():
        with hold(path):
            monkeypatch.setattr(LocalFileSystem, "rm_file", broken)
            raise KeyError("of the run")

    with pytest.raises(KeyError, match="of the run"):
        fail()
    assert path.exists()
