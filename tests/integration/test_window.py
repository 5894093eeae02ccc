"""curation.execution.window on a real cluster: retries, dead workers, stopping."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from run_files import wait_until

from curation.core.errors import ClusterError, DeviceError, ShardError
from curation.execution import window
from curation.execution.cluster.connect import connect
from curation.execution.cluster.spec import ClusterSpec
from curation.execution.window import IN_FLIGHT_PER_WORKER, on_each_worker, run_window
from curation.inference.replica import ScoringSpec


def square(number):
    return number * number


def fail_until(item):
    """Fail as often as the item says, counting attempts in a file."""
    path, failures = item
    attempts = int(Path(path).read_text()) + 1 if Path(path).exists() else 1
    Path(path).write_text(str(attempts))
    if attempts <= failures:
        raise ShardError(f"attempt {attempts} fails")
    return attempts


def refuse_hundreds(number):
    if number % 100 == 0:
        raise ShardError("no")
    return number


def num_transitions(client):
    """What this cluster's scheduler has done so far: several transitions for each task."""
    return client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.transition_counter)


def take_longer_and_longer(number):
    time.sleep(0 if number < 1000 else 0.3)
    return number


class LockedError(Exception):
    """An error that cannot travel."""

    def __init__(self):
        self.lock = threading.Lock()


def raise_what_cannot_travel(_item):
    raise LockedError


def touch(path):
    path.touch()
    return path.name


def first_dies(path):
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return "alive"
    return die_if_poison("poison")


def complain(of):
    raise OSError(of)


def die_if_poison(item):
    if item == "poison":
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def fail_on_a_broken_device(item):
    """As a replica whose canary is no longer reproduced, in the first process that tries it."""
    path, _ = item
    if not path.exists():
        path.write_text(str(os.getpid()))
    if path.read_text() == str(os.getpid()):
        raise DeviceError("canary text 0 scores nan here")
    return os.getpid()


def never_sound(_item):
    raise DeviceError("canary text 0 scores nan here")


def eat_memory(item):
    if item == "poison":
        eaten = []
        while True:
            eaten.append(bytearray(b"x" * (16 << 20)))
            time.sleep(0.01)
    return item


def announce_and_wait(item):
    """Say that it runs, then run until it is allowed to end."""
    began, go = item
    began.touch()
    wait_until(go.exists)
    return began.name


def test_every_item_has_one_outcome(client):
    outcomes = run_window(client, square, range(50))
    assert sorted(outcome.result for outcome in outcomes) == [number * number for number in range(50)]


@pytest.mark.parametrize("failures", [1, 2])
def test_a_failing_item_is_tried_three_times(client, tmp_path, failures):
    item = (str(tmp_path / "attempts"), failures)
    (outcome,) = run_window(client, fail_until, [item])
    assert (outcome.result, outcome.attempts) == (failures + 1, failures + 1)


def test_an_item_whose_retries_are_spent_is_reported_in_words(client, tmp_path):
    item = (str(tmp_path / "attempts"), 9)
    (outcome,) = run_window(client, fail_until, [item])
    assert (outcome.result, outcome.error, outcome.attempts) == (None, "attempt 3 fails", 3)


def test_an_outcome_says_where_its_item_ran_and_how_long(client):
    (outcome,) = run_window(client, square, [3])
    assert outcome.worker in client.scheduler_info()["workers"]
    assert 0 < outcome.seconds < 60


def test_items_that_take_no_time_come_many_to_a_task(client):
    before = num_transitions(client)
    assert len(list(run_window(client, square, range(2000)))) == 2000
    assert num_transitions(client) - before < 2000


def test_items_of_one_task_fail_and_are_tried_again_by_themselves(client):
    outcomes = {outcome.item: outcome for outcome in run_window(client, refuse_hundreds, range(1000))}
    assert {item for item, outcome in outcomes.items() if outcome.error} == set(range(0, 1000, 100))
    assert {outcome.attempts for item, outcome in outcomes.items() if item % 100 == 0} == {3}
    assert {outcome.attempts for item, outcome in outcomes.items() if item % 100} == {1}


def test_a_task_that_takes_longer_than_was_thought_gives_the_rest_back(client):
    client.run(setattr, window, "TASK_S", 0.1)
    try:
        outcomes = list(run_window(client, take_longer_and_longer, range(1020)))
    finally:
        client.run(setattr, window, "TASK_S", window.TASK_S)
    assert sorted(outcome.result for outcome in outcomes) == list(range(1020))


def test_an_error_that_cannot_travel_fails_its_item_alone(client):
    (outcome,) = run_window(client, raise_what_cannot_travel, [1])
    assert outcome.error == "LockedError: "


def test_an_error_that_is_not_ours_says_its_type(client):
    (outcome,) = run_window(client, square, ["text"])
    assert outcome.error == "TypeError: can't multiply sequence by non-int of type 'str'"


def test_stopping_submits_no_more_and_awaits_what_runs(client):
    finished = []
    finished.extend(outcome.item for outcome in run_window(client, square, range(1000), lambda: bool(finished)))
    assert 1 <= len(finished) <= IN_FLIGHT_PER_WORKER * 2


def test_an_item_that_kills_its_workers_is_given_up_and_its_neighbours_are_not():
    items = ["a", "b", "poison", "c", "d", "e"]
    with connect(ClusterSpec(kind="cpu", workers=2), ScoringSpec()) as client:
        outcomes = {outcome.item: outcome for outcome in run_window(client, die_if_poison, items)}
    assert outcomes.pop("poison").error == "every worker that tried it died; see the workers' logs"
    assert {item: outcome.result for item, outcome in outcomes.items()} == {item: item for item in "abcde"}


def test_a_result_that_is_lost_with_its_worker_is_computed_again(tmp_path):
    with connect(ClusterSpec(kind="cpu", workers=1), ScoringSpec()) as client:
        outcomes = run_window(client, touch, [tmp_path / "a", tmp_path / "b"])
        first = next(outcomes)
        wait_until(lambda: (tmp_path / "a").exists() and (tmp_path / "b").exists())
        (pid,) = client.run(os.getpid).values()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{pid}").exists())
        assert {outcome.result for outcome in [first, *outcomes]} == {"a", "b"}


def test_a_worker_that_dies_is_left_out_of_what_each_worker_says(tmp_path):
    with connect(ClusterSpec(kind="cpu", workers=2), ScoringSpec()) as client:
        assert list(on_each_worker(client, first_dies, tmp_path / "dead").values()) == ["alive"]


def test_no_worker_that_survives_is_an_error_and_not_a_wait():
    with (
        connect(ClusterSpec(kind="cpu", workers=1), ScoringSpec()) as client,
        pytest.raises(ClusterError, match="die_if_poison"),
    ):
        on_each_worker(client, die_if_poison, "poison")


def test_what_one_of_the_workers_raises_is_raised(client):
    with pytest.raises(OSError, match="no such thing"):
        on_each_worker(client, complain, "no such thing")


def test_workers_are_told_their_threads_before_they_import_anything(client):
    assert set(client.run(lambda: os.environ["OMP_NUM_THREADS"]).values()) == {"1"}


def test_a_worker_whose_device_fails_gives_way_to_a_fresh_process(tmp_path):
    with connect(ClusterSpec(kind="cpu", workers=1), ScoringSpec()) as client:
        before = set(client.scheduler_info()["workers"])
        (outcome,) = run_window(client, fail_on_a_broken_device, [(tmp_path / "pid", 0)])
        assert (outcome.error, outcome.attempts) == ("", 2)
        assert outcome.result != int((tmp_path / "pid").read_text())
        assert set(client.scheduler_info()["workers"]).isdisjoint(before)


def test_a_place_whose_devices_keep_failing_gets_no_third_fresh_process():
    with connect(ClusterSpec(kind="cpu", workers=1), ScoringSpec()) as client:
        (outcome,) = run_window(client, never_sound, [1])
        assert (outcome.error, outcome.attempts) == ("canary text 0 scores nan here", 3)
        wait_until(lambda: not client.scheduler_info()["workers"])


def test_an_item_that_eats_the_memory_of_its_workers_is_given_up_and_the_others_are_not():
    spec = ClusterSpec(kind="cpu", workers=2, memory_bytes=600 << 20)
    with connect(spec, ScoringSpec()) as client:
        outcomes = {outcome.item: outcome for outcome in run_window(client, eat_memory, ["a", "poison", "b"])}
    assert outcomes.pop("poison").error.startswith("every worker that tried it died")
    assert {item: outcome.result for item, outcome in outcomes.items()} == {"a": "a", "b": "b"}


def test_a_worker_that_is_told_to_leave_ends_its_item_and_gives_the_next_one_back(tmp_path):
    items = [(tmp_path / name, tmp_path / "go") for name in "abc"]
    with connect(ClusterSpec(kind="cpu", workers=2), ScoringSpec()) as client:
        outcomes = run_window(client, announce_and_wait, items)
        first = threading.Thread(target=lambda: tell_the_first_to_leave(client, tmp_path))
        first.start()
        done = list(outcomes)
        first.join()
        assert {outcome.result for outcome in done} == set("abc")
        assert {outcome.attempts for outcome in done} == {1}
        assert len(client.scheduler_info()["workers"]) == 1


def tell_the_first_to_leave(client, folder):
    """When two items run, send SIGTERM to one worker, and let them end when it takes nothing more."""
    wait_until(lambda: sum((folder / name).exists() for name in "abc") == 2)
    address, pid = next(iter(client.run(os.getpid).items()))
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: client.scheduler_info()["workers"][address]["status"] == "paused")
    (folder / "go").touch()


def test_a_run_that_stops_does_not_wait_for_workers_that_have_left(tmp_path):
    with connect(ClusterSpec(kind="cpu", workers=1), ScoringSpec()) as client:
        items = [(tmp_path / name, tmp_path / "go") for name in "ab"]
        leaving = threading.Thread(target=lambda: tell_all_to_leave(client, tmp_path))
        leaving.start()
        done = list(run_window(client, announce_and_wait, items, (tmp_path / "a").exists))
        leaving.join()
        assert len(done) <= 1


def tell_all_to_leave(client, folder):
    wait_until((folder / "a").exists)
    for pid in client.run(os.getpid).values():
        os.kill(pid, signal.SIGTERM)
    (folder / "go").touch()
