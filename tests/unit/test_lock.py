"""curation.execution.lock: one writer at a time, and the dead do not hold."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from curation.core.errors import ClusterError
from curation.execution import lock


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "lock.json"


def read(path):
    return json.loads(path.read_text())


def hold(path):
    return lock.hold(str(path))


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


@pytest.mark.parametrize(("silent_s", "refused"), [(lock.STALE_AFTER_S - 20, True), (lock.STALE_AFTER_S + 1, False)])
def test_a_holder_on_another_host_holds_as_long_as_its_heart_beats(path, silent_s, refused):
    left_by_another(path, host="elsewhere", beat=time.time() - silent_s)
    if refused:
        with pytest.raises(ClusterError, match="on elsewhere is writing"):
            hold(path).__enter__()
    else:
        with hold(path):
            pass


def test_a_lock_that_was_cut_short_does_not_hold(path):
    left_by_another(path)
    path.write_text('{"host": "els')
    with hold(path):
        pass


def test_a_lock_that_was_taken_over_is_not_removed_by_its_former_holder(path):
    with hold(path):
        holder_now = read(path) | {"token": "the new holder"}
        path.write_text(json.dumps(holder_now))
    assert read(path)["token"] == "the new holder"


def try_to_hold(url, start, held, done):
    start.wait()
    try:
        with lock.hold(url):
            held.put(1)
            done.wait(30)
    except ClusterError:
        held.put(0)


def test_of_many_runs_that_find_a_stale_lock_one_takes_it_over(path):
    left_by_another(path, host="elsewhere", beat=0.0)
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


def test_a_holder_that_finds_its_lock_taken_over_asks_itself_to_stop(path, monkeypatch):
    monkeypatch.setattr(lock, "HEARTBEAT_S", 0.01)
    asked = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        with hold(path):
            path.write_text(json.dumps(read(path) | {"token": "the new holder"}))
            assert asked.wait(10)
        assert read(path)["token"] == "the new holder"
    finally:
        signal.signal(signal.SIGTERM, before)
