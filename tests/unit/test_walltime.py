"""curation.execution.walltime: nothing is begun that would not end."""

import os
import signal

import pytest

from curation.execution import walltime
from curation.execution.walltime import ENDS, Stopping, Walltime, stop_on_signals

NOW = 1_000_000.0


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands, at a second that tests may change."""
    now = [NOW]
    monkeypatch.setattr(walltime.time, "time", lambda: now[0])
    return now


def ends_in(seconds, **settings):
    return Walltime({ENDS: str(int(NOW + seconds))}, **settings)


@pytest.mark.usefixtures("clock")
def test_without_an_end_there_is_always_time():
    assert Walltime({}).is_over() is False
    assert Walltime({ENDS: ""}).is_over() is False


@pytest.mark.usefixtures("clock")
def test_what_is_begun_has_to_fit_behind_what_its_worker_has_already():
    seconds = [10.0] * 95 + [60.0] * 5
    one, two = ends_in(30, depth=1), ends_in(30, depth=2)
    for each in seconds:
        one.learn(each)
        two.learn(each)
    assert (one.need_s < 30, two.need_s) == (True, 5 + 2 * (one.need_s - 5))
    assert two.is_over() is (two.need_s > 30)


def test_long_shards_end_a_run_earlier(clock):
    slow, quick = ends_in(100), ends_in(100)
    slow.learn(50.0)
    quick.learn(1.0)
    clock[0] = NOW + 60
    assert (slow.is_over(), quick.is_over()) == (True, False)


@pytest.mark.usefixtures("clock")
def test_no_shard_is_taken_to_be_shorter_than_a_task():
    least = ends_in(100, least_s=4.0)
    least.learn(0.001)
    assert least.need_s == 5 + 4


def test_once_it_is_time_to_stop_it_stays_so(clock, capsys):
    stopping = Stopping(ends_in(20))
    stopping.walltime.learn(10.0)
    assert not stopping()
    clock[0] = NOW + 6
    assert stopping()
    clock[0] = NOW
    assert stopping()
    assert stopping.in_time
    assert capsys.readouterr().err == (
        "This job ends in 14 s, and what begins now may take 15 s: stopping when the shards that are being scored are "
        "done.\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_stops_and_the_same_one_again_does_not_wait(number, capsys):
    with stop_on_signals(2, 4.0) as stopping:
        assert not stopping()
        os.kill(os.getpid(), number)
        assert (stopping(), stopping.in_time) == (True, False)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert f"Asked to stop by {number.name}" in capsys.readouterr().err


def test_another_signal_still_waits():
    with stop_on_signals(2, 4.0) as stopping:
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping()
