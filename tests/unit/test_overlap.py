"""Items are made ahead and calls run behind: in order, with their errors, and with the time that was waited for."""

import threading
from contextlib import closing

import pytest

from curation.core import stopwatch as module
from curation.core.stopwatch import Stopwatch, spent
from curation.execution.overlap import Behind, ahead


class BoomError(Exception):
    pass


def failing_after(*items):
    yield from items
    raise BoomError


def num_threads():
    return sum(thread.name.startswith(("ahead", "behind")) for thread in threading.enumerate())


def test_items_come_in_their_order():
    assert list(ahead(range(100))) == list(range(100))


def test_the_next_item_is_made_while_one_is_used():
    made = [threading.Event() for _ in range(4)]

    def items():
        for number, event in enumerate(made):
            event.set()
            yield number

    with closing(ahead(items())) as numbers:
        assert next(numbers) == 0
        assert made[1].wait(10)


def test_no_more_than_two_are_made_ahead():
    made = []

    def items():
        for number in range(100):
            made.append(number)
            yield number

    with closing(ahead(items())) as numbers:
        for used in numbers:
            assert len(made) <= used + 1 + 2 + 1
            if used == 50:
                break


def test_what_making_an_item_raises_comes_after_the_items_before_it():
    items = ahead(failing_after(1, 2))
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(BoomError):
        next(items)


def test_a_thread_ends_when_nobody_wants_its_items():
    items = ahead(iter(range(10**9)))
    next(items)
    items.close()
    assert num_threads() == 0


def test_calls_run_in_their_order_and_are_done_at_the_end():
    done = []
    with Behind() as behind:
        for number in range(20):
            behind.call(lambda number=number: done.append(number))
    assert done == list(range(20))


def boom():
    raise BoomError


def test_what_a_call_raises_is_raised_at_the_next_or_at_the_end():
    with pytest.raises(BoomError), Behind() as behind:
        behind.call(boom)
    with Behind() as behind:
        behind.call(boom)
        with pytest.raises(BoomError):
            behind.call(list)
    assert num_threads() == 0


def fail_beside_a_failing_call():
    with Behind() as behind:
        behind.call(boom)
        raise KeyError


def test_an_error_of_the_block_is_not_hidden_by_one_of_a_call():
    with pytest.raises(KeyError):
        fail_beside_a_failing_call()


def test_waiting_counts_for_what_was_waited_for(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    stopwatch = Stopwatch()

    def work(what, seconds):
        while stopwatch._what != "wait":  # until the other thread waits for this one
            threading.Event().wait(0.001)
        with spent(what):
            now[0] += seconds

    def items():
        work("io", 5)
        work("parse", 3)
        yield 1

    with stopwatch.running():
        list(ahead(items()))
        now[0] += 1
        with Behind() as behind:
            behind.call(lambda: work("write", 4))
    seconds = {what: value for what, value in stopwatch.seconds().items() if value}
    assert seconds == {"io": 5, "parse": 3, "write": 4, "other": 1}
