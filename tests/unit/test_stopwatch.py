"""Every moment of a thread counts once, for the innermost thing that it is spent on."""

import threading

import pytest

from curation.core import stopwatch as module
from curation.core.stopwatch import Stopwatch, spent, timed


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock.now)
    return clock


def test_the_parts_add_up_to_the_whole(clock):
    stopwatch = Stopwatch()
    with stopwatch.running():
        with spent("read"):
            clock.sleep(1)
            with spent("io"):
                clock.sleep(2)
            clock.sleep(4)
        clock.sleep(8)
    clock.sleep(16)
    assert stopwatch.seconds() == {"read": 5, "io": 2, "other": 8}


def test_what_runs_is_counted_until_this_moment(clock):
    stopwatch = Stopwatch()
    with stopwatch.running(), spent("read"):
        clock.sleep(3)
        assert stopwatch.seconds()["read"] == 3
        clock.sleep(1)
        assert stopwatch.seconds()["read"] == 4


def test_other_threads_and_times_without_a_stopwatch_count_for_nothing(clock):
    stopwatch = Stopwatch()

    def elsewhere():
        with spent("elsewhere"):
            clock.sleep(1)

    elsewhere()
    with stopwatch.running():
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert stopwatch.seconds() == {"other": 1}


def test_items_are_timed_while_they_are_made_and_not_while_they_are_used(clock):
    def items():
        for item in "ab":
            clock.sleep(1)
            yield item

    stopwatch = Stopwatch()
    with stopwatch.running():
        for _ in timed("made", items()):
            clock.sleep(10)
    assert stopwatch.seconds() == {"made": 2, "other": 20}


def test_an_error_ends_what_it_was_raised_in(clock):
    def fail():
        with spent("read"):
            raise ValueError("no more")

    stopwatch = Stopwatch()
    with stopwatch.running():
        with pytest.raises(ValueError, match="no more"):
            fail()
        clock.sleep(1)
    assert stopwatch.seconds() == {"other": 1, "read": 0}


def test_seconds_can_be_counted_for_other_things_instead(clock):
    stopwatch = Stopwatch()
    with stopwatch.running(), spent("wait"):
        clock.sleep(5)
    stopwatch.move("wait", {"io": 3, "parse": 1})
    assert stopwatch.seconds() == {"other": 0, "wait": 1, "io": 3, "parse": 1}
