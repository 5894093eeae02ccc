"""Work side by side within one worker: reading ahead of the models, writing behind them, and who waited for whom."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TypeVar

from curation.core.stopwatch import Stopwatch, spent

Item = TypeVar("Item")

_LOOK_EVERY_S = 0.1
_END = object()


def ahead(items: Iterable[Item]) -> Generator[Item, None, None]:
    """The items, made in another thread, at most two ahead of the one in use. What making them raises is raised here.

    Closing the generator ends the thread. Time spent waiting for an item counts for what the thread did meanwhile.
    """
    made: queue.Queue[object] = queue.Queue(maxsize=1)
    stopwatch, closed = Stopwatch(), threading.Event()

    def make() -> None:
        last: object = _END
        with stopwatch.running():
            try:
                for item in items:
                    if not _put(made, item, closed):
                        return
            except BaseException as error:  # noqa: BLE001 - whatever it is, the other thread raises it
                last = error
            _put(made, last, closed)

    thread = threading.Thread(target=make, name="ahead", daemon=True)
    thread.start()
    try:
        while True:
            with waiting_for(stopwatch):
                item = made.get()
            if item is _END:
                return
            if isinstance(item, BaseException):
                raise item
            yield item  # type: ignore[misc]
    finally:
        closed.set()
        thread.join()


class Behind:
    """Calls that run in another thread, one after the other. What one raises is raised at the next, or at the end."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="behind")
        self._stopwatch = Stopwatch()
        self._last: Future[None] | None = None

    def call(self, function: Callable[[], None]) -> None:
        """Call it in the other thread, once the one before is done."""
        self.wait()
        self._last = self._thread.submit(self._timed, function)

    def wait(self) -> None:
        """Wait for the last call. Time counts for what it does."""
        last, self._last = self._last, None
        if last is not None:
            with waiting_for(self._stopwatch):
                last.result()

    def _timed(self, function: Callable[[], None]) -> None:
        with self._stopwatch.running():
            function()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.wait()
        finally:
            self._thread.shutdown(wait=True)


@contextmanager
def waiting_for(other: Stopwatch) -> Iterator[None]:
    """Count the time of the block for whatever another thread's stopwatch counts meanwhile."""
    before = other.seconds()
    here = Stopwatch.of_this_thread()
    with spent("wait"):
        yield
    if here is not None:
        after = other.seconds()
        here.move("wait", {what: seconds - before[what] for what, seconds in after.items()})


def _put(made: "queue.Queue[object]", item: object, closed: threading.Event) -> bool:
    """Put an item where there is room, unless nobody wants it any more."""
    while not closed.is_set():
        try:
            made.put(item, timeout=_LOOK_EVERY_S)
        except queue.Full:
            continue
        return True
    return False
