"""Where the time of a task goes, by what it is spent on, so that the parts add up to the whole."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")

_running = threading.local()


class Stopwatch:
    """Seconds of one thread by what they were spent on; every moment counts once, for the innermost `spent`.

    What no `spent` names is "other".
    """

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()
        self._what: str | None = None
        self._since = 0.0

    @staticmethod
    def of_this_thread() -> "Stopwatch | None":
        """The one that is running here."""
        return getattr(_running, "stopwatch", None)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Time this thread while the block runs."""
        before = self.of_this_thread()
        _running.stopwatch = self
        self.switch("other")
        try:
            yield
        finally:
            self.switch(None)
            _running.stopwatch = before

    def switch(self, what: str | None) -> str | None:
        """Count for `what` from now on, for nothing if None; gives what it was until now."""
        with self._lock:
            now = time.perf_counter()
            if self._what is not None:
                self._seconds[self._what] += now - self._since
            before, self._what, self._since = self._what, what, now
        return before

    def seconds(self) -> defaultdict[str, float]:
        """What was counted until this moment."""
        with self._lock:
            seconds = self._seconds.copy()
            if self._what is not None:
                seconds[self._what] += time.perf_counter() - self._since
        return seconds

    def move(self, what: str, seconds: Mapping[str, float]) -> None:
        """Count seconds that went to `what` for other things instead, as far as they are known."""
        with self._lock:
            for each, value in seconds.items():
                self._seconds[each] += value
                self._seconds[what] -= value


def timed(what: str, items: Iterable[Item]) -> Iterator[Item]:
    """The items, with the time that making them takes counted for `what`."""
    iterator = iter(items)
    while True:
        with spent(what):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


@contextmanager
def spent(what: str) -> Iterator[None]:
    """Count the time of the block for `what`, where a stopwatch runs in this thread."""
    stopwatch = Stopwatch.of_this_thread()
    if stopwatch is None:
        yield
        return
    before = stopwatch.switch(what)
    try:
        yield
    finally:
        stopwatch.switch(before)
