"""Work on the cluster: many tasks through a bounded window of futures, or one on each worker."""

import asyncio
import concurrent.futures
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

from curation.core.errors import ClusterError, CurationError

if TYPE_CHECKING:
    from distributed import Client, Future

Item = TypeVar("Item")
Result = TypeVar("Result")

IN_FLIGHT_PER_WORKER = 2
RETRIES = 2

_LOOK_EVERY_S = 1.0
_POLL_S = 0.01
_NO_WORKER_S = 120.0
_LOST = "The scheduler was lost, and with it what was running. Start one, then run the same command again to go on."
_WHEN_LOST = (OSError, asyncio.CancelledError, concurrent.futures.CancelledError)  # CommClosedError is an OSError


@dataclass(frozen=True)
class Outcome(Generic[Item, Result]):
    """What became of an item: a result, or after its last attempt an error in words."""

    item: Item
    result: Result | None
    error: str = ""
    attempts: int = 1


def run_window(
    client: "Client",
    function: Callable[[Item], Result],
    items: Iterable[Item],
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[Outcome[Item, Result]]:
    """The outcome of `function(item)` for every item, in the order of completion.

    An item that raises is tried `RETRIES` times more. One that was running whenever three workers died is tried a last
    time alone, after all others, so that its neighbours are not blamed for it. When `stopping()` turns true nothing
    more is submitted and what is running is awaited; items never submitted have no outcome.
    Raises ClusterError when the scheduler is lost.
    """
    with _lost_is_one_error():
        yield from _run_window(client, function, iter(items), stopping)


def on_each_worker(client: "Client", function: Callable[..., Result], *arguments: object) -> dict[str, Result]:
    """What `function(*arguments)` gives on each worker, by address; a worker that dies meanwhile is left out.

    Raises what the function raises, and ClusterError when no worker survives it or the scheduler is lost.
    """
    with _lost_is_one_error():
        futures = {
            worker: client.submit(function, *arguments, workers=[worker], pure=False) for worker in _workers(client)
        }
        while futures and not _all_done(futures):
            for worker in futures.keys() - _workers(client):
                futures.pop(worker).cancel()
        errors = [future.exception() for future in futures.values() if future.status == "error"]
        results = client.gather(futures, errors="skip")
    if errors:
        raise errors[0]
    if not results:
        raise ClusterError(f"Every worker died in {function.__name__}(); see the workers' logs, and their memory.")
    return dict(results)


def _all_done(futures: "Mapping[str, Future]") -> bool:
    from distributed import wait

    try:
        wait(list(futures.values()), timeout=_LOOK_EVERY_S)
    except TimeoutError:
        return False
    return True


def _workers(client: "Client") -> set[str]:
    return set(client.scheduler_info(n_workers=-1)["workers"])


def _run_window(
    client: "Client", function: Callable[[Item], Result], waiting: Iterator[Item], stopping: Callable[[], bool]
) -> Iterator[Outcome[Item, Result]]:
    window = _Window(client, function)
    while True:
        if not stopping():
            for item in islice(waiting, window.room()):
                window.submit(item)
        if not window.running:
            break
        yield from window.finished(stopping)
    while window.suspects and not stopping():
        item, attempts = window.suspects.popleft()
        window.submit(item, attempts + 1, alone=True)
        while window.running:
            yield from window.finished(stopping)


@contextmanager
def _lost_is_one_error() -> Iterator[None]:
    """What Dask raises in various ways when the scheduler is gone, as one ClusterError."""
    try:
        yield
    except _WHEN_LOST as error:
        raise ClusterError(_LOST) from error


class _Window(Generic[Item, Result]):
    def __init__(self, client: "Client", function: Callable[[Item], Result]) -> None:
        from distributed import as_completed

        self.client = client
        self.function = function
        self.completed = as_completed(raise_errors=False)
        self.running: dict[str, tuple[Item, int, bool]] = {}
        self.suspects: deque[tuple[Item, int]] = deque()
        self.num_submitted = 0
        self.num_workers = 0
        self.looked_at = self.worked_at = -math.inf

    def room(self) -> int:
        self.look()
        return max(0, IN_FLIGHT_PER_WORKER * max(1, self.num_workers) - len(self.running))

    def look(self) -> None:
        """Count the workers, at most once a second: it is a question to the scheduler."""
        now = time.monotonic()
        if now - self.looked_at >= _LOOK_EVERY_S:
            self.num_workers = len(_workers(self.client))
            self.looked_at = now
        if self.num_workers or self.worked_at == -math.inf:
            self.worked_at = now

    def wait(self) -> None:
        """Wait until a task has finished. Raises ClusterError when there has been no worker for a while."""
        while not self.completed.has_ready():
            self.look()
            if (idle_s := time.monotonic() - self.worked_at) > _NO_WORKER_S:
                raise ClusterError(
                    f"There has been no worker for {idle_s:.0f} s. Start some, then run the same command."
                )
            time.sleep(_POLL_S)

    def submit(self, item: Item, attempt: int = 1, *, alone: bool = False) -> None:
        # A key of its own for each attempt: the scheduler must not answer with the error that it remembers.
        self.num_submitted += 1
        key = f"{self.function.__name__}-{id(self):x}-{self.num_submitted}"
        future = self.client.submit(self.function, item, key=key, pure=False)
        self.running[key] = (item, attempt, alone)
        self.completed.add(future)

    def finished(self, stopping: Callable[[], bool]) -> Iterator[Outcome[Item, Result]]:
        """Wait for one task; yield its outcome unless it is to be tried again."""
        from distributed import KilledWorker

        self.wait()
        future = next(self.completed)
        if future.status in ("pending", "lost"):  # its worker died with the result, which is being computed again
            self.completed.add(future)
            return
        item, attempt, alone = self.running.pop(future.key)
        try:
            result, error = future.result(), None
        except Exception:
            if future.status != "error":
                raise
            error = future.exception()
        if error is None:
            yield Outcome(item, result, attempts=attempt)
        elif isinstance(error, KilledWorker):
            if alone:
                yield Outcome(item, None, "every worker that tried it died; see the workers' logs", attempt)
            else:
                self.suspects.append((item, attempt))
        elif attempt <= RETRIES and not stopping():
            self.submit(item, attempt + 1, alone=alone)
        else:
            yield Outcome(item, None, describe(error), attempt)


def describe(error: BaseException) -> str:
    """An error in words: our own as they are, others with their type."""
    return str(error) if isinstance(error, CurationError) else f"{type(error).__name__}: {error}"
