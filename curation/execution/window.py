"""Work on the cluster: many tasks through a bounded window of futures, or one on each worker."""

import asyncio
import concurrent.futures
import math
import queue
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from curation.core.errors import ClusterError, CurationError, DeviceError
from curation.execution.cluster.scheduler import lost_is_one_error, workers_of
from curation.execution.cluster.worker import walltime

if TYPE_CHECKING:
    from distributed import Client, Future

Item = TypeVar("Item")
Result = TypeVar("Result")
Join = Callable[[Sequence[Result]], Sequence[Result]]
_Coming = concurrent.futures.Future[Any]

IN_FLIGHT_PER_WORKER = 2
RETRIES = 2
TASK_S = 4.0
"""About how long a task should take: items that are done sooner come several to a task."""

_TASKS_PER_WORKER = 20  # at least so many while items are left, so that all workers end together
_FORGETTING = 0.2
_LONG = 2
_MOST_RESTARTS = 2
_END_S = 10
_LOOK_EVERY_S = 1.0
_POLL_S = 0.1


@dataclass(frozen=True)
class Outcome(Generic[Item, Result]):
    """What became of an item: a result, or after its last attempt an error in words.

    `worker` is where it ran, "" where nothing came back, and `seconds` how long.
    """

    item: Item
    result: Result | None
    error: str = ""
    attempts: int = 1
    worker: str = ""
    seconds: float = 0.0


class OnWorkers(Protocol):
    """`run_window` of a client, for those who know no cluster: the outcome of a function for every item."""

    def __call__(self, function: Callable[[Item], Result], items: Sequence[Item], /) -> Iterator[Outcome[Item, Result]]:
        """Submit them."""


def run_window(
    client: "Client",
    function: Callable[[Item], Result],
    items: Sequence[Item],
    stopping: Callable[[], bool] = lambda: False,
    patience_s: float = 120.0,
    *,
    join: Join[Result] | None = None,
) -> Iterator[Outcome[Item, Result]]:
    """The outcome of `function(item)` for every item, in the order of completion.

    `join` is called on the worker with the results of the items that came together, and gives as many: what they have
    in common may travel in the first alone.

    Items that take less than `TASK_S` come several to a task, one after the other; each fails and is tried again by
    itself. An item that raises is tried `RETRIES` times more. One that was running whenever three workers died is tried
    a last time alone, after all others, so that its neighbours are not blamed for it. A worker whose device fails gives
    way to a fresh process. When `stopping()` turns true nothing more is submitted and what is running is awaited while
    there are workers; items never submitted have no outcome. Raises ClusterError when the scheduler is lost, or when
    there is no worker for `patience_s`.
    """
    with lost_is_one_error(client):
        yield from _Window(client, function, items, stopping, patience_s, join=join).outcomes()


def on_each_worker(client: "Client", function: Callable[..., Result], *arguments: object) -> dict[str, Result]:
    """What `function(*arguments)` gives on each worker, by address; a worker that dies meanwhile is left out.

    Raises what the function raises, and ClusterError when no worker survives it or the scheduler is lost.
    """
    results: dict[str, Result] = {}
    error: BaseException | None = None
    with lost_is_one_error(client):
        futures = {
            worker: client.submit(function, *arguments, workers=[worker], pure=False) for worker in workers_of(client)
        }
        pending = {worker: _brought(client, future) for worker, future in futures.items()}
        while pending and error is None:
            concurrent.futures.wait(pending.values(), _LOOK_EVERY_S, concurrent.futures.FIRST_COMPLETED)
            there = workers_of(client)
            for worker, coming in [*pending.items()]:
                if not coming.done() and worker in there:
                    continue
                del pending[worker]
                if not coming.done():
                    futures[worker].cancel()
                elif (error := error or _error(coming)) is None:
                    results[worker] = coming.result()
    if error is not None:  # out here, where it is not taken for a lost scheduler
        raise error
    if not results:
        raise ClusterError(f"Every worker died in {function.__name__}(); see the workers' logs, and their memory.")
    return results


def _brought(client: "Client", future: "Future") -> _Coming:
    """The result of a future as soon as it is here, or its error.

    It is waited for in the client's loop, and never with a time limit: a client of whose gathering one try is cancelled
    before it has begun gathers nothing any more (distributed 2026.7: Client._gather keeps the cancelled task).
    """
    return asyncio.run_coroutine_threadsafe(client.gather(future, asynchronous=True), client.loop.asyncio_loop)


def _error(coming: _Coming) -> BaseException | None:
    """What went wrong with a result that is here. Raises ClusterError when the scheduler gave it up."""
    if coming.cancelled():
        raise ClusterError("The scheduler has dropped what was running. Run the same command again to go on.")
    return coming.exception()


class _Attempt(NamedTuple):
    """One item on a worker: what it gave, or in words what it raised, and whether the worker's device is sound."""

    result: Any
    error: str
    seconds: float
    worker: str
    is_sound: bool = True


def _attempt_each(
    function: Callable[[Item], Result], items: Sequence[Item], join: Join[Result] | None
) -> list[_Attempt]:
    """Runs on a worker: the first of the items, all of them unless they take much longer than was thought."""
    from distributed import get_worker

    worker, attempts = get_worker().address, []
    begin = time.monotonic()
    for item in items:
        start = time.monotonic()
        try:
            result, error = function(item), ""
            is_sound = True
        except Exception as raised:  # noqa: BLE001 - the driver decides what becomes of it
            result, error = None, describe(raised)  # in words: not every error can travel
            is_sound = not isinstance(raised, DeviceError)
        attempts.append(_Attempt(result, error, time.monotonic() - start, worker, is_sound))
        if time.monotonic() - begin > _LONG * TASK_S or not is_sound:
            break
    walltime.learn(time.monotonic() - begin)
    done = [place for place, each in enumerate(attempts) if not each.error]
    if join and done:
        for place, result in zip(done, join([attempts[place].result for place in done]), strict=True):
            attempts[place] = attempts[place]._replace(result=result)
    return attempts


class _Window(Generic[Item, Result]):
    def __init__(
        self,
        client: "Client",
        function: Callable[[Item], Result],
        items: Sequence[Item],
        stopping: Callable[[], bool],
        patience_s: float,
        *,
        join: Join[Result] | None,
    ) -> None:
        self.client = client
        self.function = function
        self.stopping = stopping
        self.patience_s = patience_s
        self.join = join
        self.waiting = deque((item, 1) for item in items)
        self.running: dict[str, list[tuple[Item, int]]] = {}
        self.coming: dict[str, tuple[Future, _Coming]] = {}
        self.ready: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.suspects: deque[tuple[Item, int]] = deque()
        self.retired: Counter[str] = Counter()
        self.is_last_try = False
        self.num_submitted = 0
        self.num_workers = 0
        self.seconds_each = math.inf
        self.looked_at = self.worked_at = -math.inf

    def outcomes(self) -> Iterator[Outcome[Item, Result]]:
        while True:
            while self.waiting and self.has_room() and not self.stopping():
                self.submit([self.waiting.popleft() for _ in range(self.task_size())])
            self.is_last_try = not self.running and bool(self.suspects) and not self.stopping()
            if self.is_last_try:
                item, attempt = self.suspects.popleft()
                self.submit([(item, attempt + 1)])
            if not self.running:
                return
            yield from self.finished()

    def has_room(self) -> bool:
        self.look()
        return len(self.running) < IN_FLIGHT_PER_WORKER * max(1, self.num_workers)

    def task_size(self) -> int:
        """How many of the waiting items go together; an item that failed goes alone."""
        if self.waiting[0][1] > 1:
            return 1
        at_most = len(self.waiting) // (_TASKS_PER_WORKER * max(1, self.num_workers))
        return max(1, min(at_most, int(TASK_S / max(self.seconds_each, 1e-9))))

    def look(self) -> None:
        """Count the workers, at most once a second: it is a question to the scheduler."""
        now = time.monotonic()
        if now - self.looked_at >= _LOOK_EVERY_S:
            self.num_workers = len(workers_of(self.client))
            self.looked_at = now
        if self.num_workers or self.worked_at == -math.inf:
            self.worked_at = now

    def next_ready(self) -> str | None:
        """The key of a task that has finished; None when none will, because the run stops and its last worker has left.

        Raises ClusterError when there has been no worker for too long.
        """
        while True:
            with suppress(queue.Empty):
                return self.ready.get(timeout=_POLL_S)
            self.look()
            if not self.num_workers and self.stopping():
                return None
            if (idle_s := time.monotonic() - self.worked_at) > self.patience_s:
                raise ClusterError(
                    f"There has been no worker for {idle_s:.0f} s. Start some, then run the same command."
                )

    def submit(self, attempts: list[tuple[Item, int]]) -> None:
        # A key of its own for each attempt: the scheduler must not answer with the error that it remembers.
        self.num_submitted += 1
        key = f"{self.function.__name__}-{id(self):x}-{self.num_submitted}"
        items = [item for item, _ in attempts]
        future = self.client.submit(_attempt_each, self.function, items, self.join, key=key, pure=False)
        self.running[key] = attempts
        coming = _brought(self.client, future)
        self.coming[key] = future, coming
        coming.add_done_callback(lambda _: self.ready.put(key))

    def finished(self) -> Iterator[Outcome[Item, Result]]:
        """Wait for one task; yield the outcomes of its items that are not to be tried again."""
        from distributed import KilledWorker

        if (key := self.next_ready()) is None:
            self.running.clear()
            return
        (future, coming), tried = self.coming.pop(key), self.running.pop(key)
        if error := _error(coming):
            for item, attempt in tried:
                if not isinstance(error, KilledWorker):  # what came back cannot be read here, or did not arrive
                    yield from self.settle(item, attempt, _Attempt(None, describe(error), 0.0, ""))
                elif self.is_last_try:
                    yield Outcome(item, None, "every worker that tried it died; see the workers' logs", attempt)
                else:
                    self.suspects.append((item, attempt))
            return
        attempts = coming.result()
        future.release()  # what lies on a worker that is to end would be computed again
        for (item, attempt), made in zip(tried, attempts, strict=False):
            self.learn(made)
            if not made.is_sound:
                self.retire(made.worker)
            yield from self.settle(item, attempt, made)
        self.waiting.extendleft(reversed(tried[len(attempts) :]))

    def retire(self, worker: str) -> None:
        """Put a fresh process in a worker's place where a nanny can; the third time in one place, none."""
        about = workers_of(self.client).get(worker, {})
        place = str(about.get("nanny") or worker)
        self.retired[place] += 1
        if about.get("nanny") and self.retired[place] <= _MOST_RESTARTS:
            self._restart(worker)
        else:
            self.client.run_on_scheduler(_close, worker)

    def _restart(self, worker: str) -> None:
        """End a worker, whose nanny then starts a fresh one; unlike Client.restart_workers without waiting for it."""
        self.client.sync(
            self.client.scheduler.restart_workers,
            workers=[worker],
            timeout=_END_S,
            wait_for_workers=False,
            on_error="return",
            stimulus_id=f"device-failed-{worker}",
        )

    def learn(self, made: _Attempt) -> None:
        """Follow how long an item takes; the largest come first, so the past is forgotten by and by."""
        if not made.error:
            known = self.seconds_each if math.isfinite(self.seconds_each) else made.seconds
            self.seconds_each = known + _FORGETTING * (made.seconds - known)

    def settle(self, item: Item, attempt: int, made: _Attempt) -> Iterator[Outcome[Item, Result]]:
        if not made.error:
            yield Outcome(item, made.result, "", attempt, made.worker, made.seconds)
        elif attempt <= RETRIES and not self.stopping():
            self.waiting.appendleft((item, attempt + 1))
        else:
            yield Outcome(item, None, made.error, attempt, made.worker, made.seconds)


def _close(address: str, dask_scheduler: Any = None) -> None:
    """Runs on the scheduler: end a worker and its nanny."""
    dask_scheduler.close_worker(address)


def describe(error: BaseException) -> str:
    """An error in words: our own as they are, others with their type."""
    return str(error) if isinstance(error, CurationError) else f"{type(error).__name__}: {error}"
