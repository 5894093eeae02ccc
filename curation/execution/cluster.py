"""Where the workers are. After `connect` nothing can tell which kind of cluster it is."""

import logging
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from curation.core.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client

_CONNECT_TIMEOUT_S = 60
_KILLS_BEFORE_SUSPECT = 2  # the third worker that dies under a task gives up on the task
# Dask's default gives every freed block back to the system, which costs an encoder a fifth of its speed and more.
_MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(256 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


@dataclass(frozen=True)
class ClusterSpec:
    """The ``[cluster]`` table.

    ``cpu`` starts worker processes on this machine, `workers` of them (0: one for each core, or for as many cores as
    have scoring.compute_threads) with `memory_bytes` each
    (0: an equal share of the machine's). ``existing`` uses a scheduler by `address` or `scheduler_file`, and leaves it
    running.
    """

    kind: Literal["cpu", "existing"] = "cpu"
    workers: int = 0
    memory_bytes: int = 0
    address: str = ""
    scheduler_file: str = ""

    def mistakes(self) -> list[str]:
        """What is wrong with it, as far as can be seen without connecting."""
        named = [key for key in ("address", "scheduler_file") if getattr(self, key)]
        found = []
        if self.workers < 0:
            found.append(f"cluster.workers: {self.workers} is below 0; 0 stands for one worker for each core.")
        if self.kind == "cpu" and named:
            found.append(f'cluster.{named[0]}: has no effect with kind = "cpu"; write kind = "existing".')
        if self.kind == "existing" and len(named) != 1:
            found.append("cluster: an existing cluster is named by its address or by its scheduler_file, one of them.")
        if self.kind == "existing" and (self.workers or self.memory_bytes):
            found.append("cluster: workers and memory_bytes have no effect on an existing cluster; leave them out.")
        if self.scheduler_file and not Path(self.scheduler_file).exists():
            found.append(f"cluster.scheduler_file: {self.scheduler_file} does not exist; is the scheduler up?")
        return found

    def num_workers(self, compute_threads: int) -> int:
        """The worker processes that ``cpu`` starts: by default as many as have cores for their threads."""
        return self.workers or max(1, cores() // compute_threads)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def connect(spec: ClusterSpec, compute_threads: int) -> "Iterator[Client]":
    """A client of the cluster, and on leaving, the end of whatever was started for it.

    One process and one Dask thread a worker; its libraries use `compute_threads` threads, told before they are
    imported. Raises ClusterError when the scheduler cannot be reached or has no worker within a minute.
    """
    if spec.kind == "existing":
        with _existing(spec) as client:
            yield client
    else:
        with _local(spec, compute_threads) as client:
            yield client


@contextmanager
def _local(spec: ClusterSpec, compute_threads: int) -> "Iterator[Client]":
    import dask
    from distributed import Client, LocalCluster
    from distributed.utils import silence_logging_cmgr

    environ = dict.fromkeys(_THREAD_VARIABLES, str(compute_threads))
    environ["TOKENIZERS_PARALLELISM"] = "true" if compute_threads > 1 else "false"
    settings = {
        "distributed.nanny.pre-spawn-environ": environ | _MALLOC | {"HF_HUB_OFFLINE": "1"},
        "distributed.scheduler.allowed-failures": _KILLS_BEFORE_SUSPECT,
        "distributed.worker.daemon": True,
        "distributed.worker.preload": [__name__],
    }
    with tempfile.TemporaryDirectory(prefix="curation-") as scratch, dask.config.set(settings):
        cluster = LocalCluster(
            n_workers=spec.num_workers(compute_threads),
            threads_per_worker=1,
            memory_limit=spec.memory_bytes or "auto",
            dashboard_address=":0",  # two runs on one machine must not quarrel about a port
            local_directory=scratch,
        )
        try:
            with Client(cluster) as client:
                yield client
        finally:
            with silence_logging_cmgr("ERROR"):  # a worker that is slow to end is killed, which harms nothing now
                cluster.close()


def dask_setup(worker: object) -> None:
    """Leave signals and errors to the driver. Called by Dask in every worker process: this module is a preload.

    Ctrl-C and SIGTERM reach the whole process group; the driver drains, then ends the workers. What a task raises is
    told once by the driver, and a connection that breaks when the cluster ends is no news.
    """
    del worker
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    for handler in logging.getLogger("distributed").handlers:
        handler.addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return record.exc_info is None and not record.getMessage().startswith("Compute Failed")


@contextmanager
def _existing(spec: ClusterSpec) -> "Iterator[Client]":
    from distributed import Client
    from distributed.utils import silence_logging_cmgr

    where = spec.address or spec.scheduler_file
    try:
        client = Client(
            address=spec.address or None, scheduler_file=spec.scheduler_file or None, timeout=_CONNECT_TIMEOUT_S
        )
    except (OSError, ValueError) as error:
        raise ClusterError(f"No scheduler answers at {where}: {error}. Start it, or correct [cluster].") from None
    try:
        _await_worker(client, where)
        _check_threads(client, where)
        yield client
    finally:
        with silence_logging_cmgr("CRITICAL"):  # what is logged here is a client that still calls a lost scheduler
            client.close()


def _check_threads(client: "Client", where: str) -> None:
    """Raise ClusterError where two tasks would share one replica, and its counts."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    if several := sorted({each["nthreads"] for each in workers} - {1}):
        raise ClusterError(
            f"Workers of the scheduler at {where} run {several[-1]} tasks at a time; one is right, as every task uses "
            "its worker's models by itself. Start them with --nthreads 1, and more of them."
        )


def _await_worker(client: "Client", where: str) -> None:
    try:
        client.wait_for_workers(1, timeout=_CONNECT_TIMEOUT_S)
    except TimeoutError:
        raise ClusterError(
            f"The scheduler at {where} has had no worker for {_CONNECT_TIMEOUT_S} s. Start workers, then run again."
        ) from None
