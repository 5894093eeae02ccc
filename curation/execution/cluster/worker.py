"""What a worker process is besides what Dask makes it: its environment, how it ends. A preload of Dask's processes."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from curation.execution.walltime import Walltime

if TYPE_CHECKING:
    from distributed import Nanny, Scheduler, Worker

PRELOAD = __name__

ALLOWED_FAILURES = 2
"""After so many deaths of its worker a task is suspected: the third worker that dies under it gives up on it."""

_LEAVE = (signal.SIGTERM, signal.SIGUSR1)
_LOOK_EVERY_S = 0.2
# Dask's default gives every freed block back to the system, which costs an encoder a fifth of its speed and more.
_MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(256 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
_tasks: set["asyncio.Task[None]"] = set()  # the loop itself keeps none alive
_leaving: set["Worker"] = set()

walltime = Walltime(os.environ)
"""That of this process; who runs tasks in it says how long they take."""


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_environ(compute_threads: int) -> dict[str, str]:
    """What has to be in a worker's environment before it imports anything."""
    threads = dict.fromkeys(_THREAD_VARIABLES, str(compute_threads))
    parallel = "true" if compute_threads > 1 else "false"
    return threads | {"TOKENIZERS_PARALLELISM": parallel, "HF_HUB_OFFLINE": "1"} | _MALLOC


def dask_setup(server: "Worker | Scheduler | Nanny") -> None:
    """Take signals as a run wants them; called by Dask when a process of its own starts.

    A worker that gets SIGTERM or SIGUSR1, or whose Slurm job ends soon, ends what it is doing and leaves; a nanny
    passes them on. As SIGTERM reaches all processes of a Slurm job, a scheduler leaves it to the driver, which drains.
    What a task raises is told once by the driver, and a connection that breaks when the cluster ends is no news.
    """
    from distributed import Nanny, Worker

    for handler in logging.getLogger("distributed").handlers:
        handler.addFilter(_is_news)
    loop = asyncio.get_running_loop()
    if isinstance(server, Worker):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in _LEAVE:
            loop.add_signal_handler(number, _begin, _leave, server)
        if walltime.left_s < float("inf"):
            _begin(_leave_in_time, server)
    elif isinstance(server, Nanny):
        for number in _LEAVE:
            loop.add_signal_handler(number, _begin, _pass_on, server, number)
    else:
        for number in _LEAVE:
            signal.signal(number, signal.SIG_IGN)


def _begin(action: Callable[..., Coroutine[Any, Any, None]], *arguments: object) -> None:
    _tasks.add(asyncio.get_running_loop().create_task(action(*arguments)))


async def _pass_on(nanny: "Nanny", number: int) -> None:
    if nanny.pid is None:
        await nanny.close(reason="it was asked to leave")
    else:
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(nanny.pid, number)


async def _leave_in_time(worker: "Worker") -> None:
    while not walltime.is_over():
        await asyncio.sleep(_LOOK_EVERY_S)
    await _leave(worker)


async def _leave(worker: "Worker") -> None:
    """Begin nothing more, end what runs, and give back what was not begun: no work is lost and no task suspected.

    Once: Slurm's signal comes twice, as the nanny passes it on too, and the end of a job may be near as well.
    """
    from distributed.core import Status

    if worker in _leaving or worker.status not in {Status.running, Status.paused}:
        return
    _leaving.add(worker)
    if worker.memory_manager is not None:
        worker.memory_manager.memory_pause_fraction = False  # or it would resume a worker that has memory left
    worker.status = Status.paused
    while worker.state.executing:
        await asyncio.sleep(_LOOK_EVERY_S)
    reason = "it was asked to leave, or its job ends"
    try:
        await worker.close_gracefully(reason=reason)
    except Exception:  # noqa: BLE001 - the scheduler has gone, or fails itself: nobody takes anything back
        await worker.close(reason=reason)


def _is_news(record: logging.LogRecord) -> bool:
    from distributed.comm import CommClosedError

    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, CommClosedError) or record.getMessage().startswith("Compute Failed"))


if __name__ == "__main__":  # for shells: eval "$(python -m curation.execution.cluster.worker COMPUTE_THREADS)"
    sys.stdout.writelines(f"export {key}={value}\n" for key, value in worker_environ(int(sys.argv[1])).items())
