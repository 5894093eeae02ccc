"""Times add up to the wall time of all workers, and end in a verdict."""

import pytest

from curation.execution.times import ADVICE, Times


@pytest.fixture
def times():
    found = Times({"a": "", "b": ""})
    found.add("a", {"forward": 6.0, "tokenise": 1.0})
    found.add("a", {"forward": 2.0})
    found.add("b", {"forward": 5.0})
    found.wall_s = 10.0
    return found


def test_what_is_left_of_the_wall_time_is_idle(times):
    assert times.by_worker == {
        "a": {"forward": 8.0, "tokenise": 1.0, "idle": 1.0},
        "b": {"forward": 5.0, "idle": 5.0},
    }


def test_shares_are_of_all_workers_time(times):
    assert times.shares == {"forward": 0.65, "idle": 0.3, "tokenise": 0.05}


def test_a_worker_without_a_task_was_idle():
    times = Times({"a": "", "b": ""})
    times.wall_s = 2.0
    times.add("a", {"forward": 2.0})
    assert times.shares == {"forward": 0.5, "idle": 0.5}


def test_people_are_told_what_bounds_the_run(times):
    assert list(times.lines()) == [
        "time of 2 workers: 65.0% forward, 30.0% idle, 5.0% tokenise",
        f"bound by {ADVICE['forward']}.",
    ]


def test_one_worker_is_not_called_workers():
    times = Times({"a": ""})
    times.wall_s = 1.0
    assert next(times.lines()) == "time of 1 worker: 100.0% idle"


def test_nothing_done_is_nothing_told():
    assert list(Times({}).lines()) == []
