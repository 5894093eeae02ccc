"""A client of the cluster that a config means: the one place that knows its kinds."""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from curation.core.errors import ClusterError
from curation.execution.cluster.existing import REACH_S, existing
from curation.execution.cluster.roll import Roll
from curation.execution.cluster.scheduler import workers_of
from curation.execution.cluster.slurm import LOST_WORKER_S
from curation.execution.cluster.spec import ClusterSpec
from curation.execution.cluster.worker import ALLOWED_FAILURES, PRELOAD, worker_environ
from curation.execution.window import TASK_S
from curation.inference.replica import ScoringSpec

if TYPE_CHECKING:
    from distributed import Client

_LOOK_EVERY_S = 0.1


@contextmanager
def connect(
    spec: ClusterSpec,
    scoring: ScoringSpec,
    stopping: Callable[[], bool] = lambda: False,
    reach_s: float = REACH_S,
) -> "Iterator[Client]":
    """A client of the cluster with at least one worker, and on leaving, the end of whatever was started for it.

    One process and one Dask thread a worker; its libraries use scoring.compute_threads threads, told before they are
    imported. When `stopping()` turns true while there is no worker yet, none is waited for. Raises ClusterError when
    the scheduler cannot be reached within `reach_s` or before it is time to stop, is lost, has no worker in time, or
    has workers that would quarrel about a GPU or a replica.
    """
    spec, _ = spec.settled(scoring.device)
    with existing(spec, stopping, reach_s) if spec.kind == "existing" else _started(spec, scoring) as client:
        _await_worker(client, spec, stopping)
        Roll(client, scoring.device if spec.kind == "existing" else spec.device(scoring.device)).call()
        yield client


@contextmanager
def _started(spec: ClusterSpec, scoring: ScoringSpec) -> "Iterator[Client]":
    """A client of a cluster of our own."""
    import dask
    from distributed import Client
    from distributed.utils import silence_logging_cmgr

    settings = {
        "distributed.nanny.pre-spawn-environ": worker_environ(scoring.compute_threads),
        "distributed.scheduler.allowed-failures": ALLOWED_FAILURES,
        "distributed.worker.daemon": True,
        "distributed.deploy.lost-worker-timeout": LOST_WORKER_S,
    }
    start: dict[str, Callable[[ClusterSpec, ScoringSpec, str], Any]] = {"cpu": _cpu, "cuda": _cuda, "slurm": _slurm}
    with tempfile.TemporaryDirectory(prefix="curation-") as scratch, dask.config.set(settings):
        cluster = start[spec.kind](spec, scoring, scratch)
        try:
            with Client(cluster) as client:
                yield client
        finally:
            # A worker that is slow to end is killed, which harms nothing now; on a busy machine that can take longer
            # than is waited for.
            with silence_logging_cmgr("ERROR"), suppress(TimeoutError):
                cluster.close()


def _cpu(spec: ClusterSpec, scoring: ScoringSpec, scratch: str) -> Any:
    from distributed import LocalCluster
    from distributed.system import MEMORY_LIMIT

    num_workers = spec.num_workers(scoring.compute_threads)
    return LocalCluster(
        n_workers=num_workers,
        threads_per_worker=1,
        memory_limit=spec.memory_bytes or MEMORY_LIMIT // num_workers,
        dashboard_address=":0",  # two runs on one machine must not quarrel about a port
        local_directory=scratch,
        preload=[PRELOAD],
    )


def _cuda(spec: ClusterSpec, scoring: ScoringSpec, scratch: str) -> Any:
    from dask_cuda import LocalCUDACluster  # type: ignore[import-not-found,unused-ignore]

    del scoring
    return LocalCUDACluster(
        n_workers=spec.workers or None,
        threads_per_worker=1,
        memory_limit=spec.memory_bytes or "auto",
        device_memory_limit=0,  # nothing that Dask could spill lies on a GPU: frames live and end within a task
        rmm_pool_size=spec.rmm_bytes or None,
        rmm_maximum_pool_size=spec.rmm_bytes or None,
        dashboard_address=":0",
        local_directory=scratch,
        protocol="tcp",
        preload=[PRELOAD],
    )


def _slurm(spec: ClusterSpec, scoring: ScoringSpec, scratch: str) -> Any:
    from dask_jobqueue import SLURMCluster

    from curation.execution.cluster.jobqueue import Job

    del scratch  # is not on the nodes
    try:
        Path(spec.slurm.logs).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ClusterError(
            f"cluster.slurm.logs: {spec.slurm.logs} cannot be made ({error.strerror}). Name a folder that can."
        ) from None
    cluster = SLURMCluster(job_cls=Job, **spec.slurm.jobqueue(spec.memory_bytes, scoring.compute_threads))
    # Not scale(): it would not replace a job that ended early.
    # A window has two tasks for each worker: this target asks for twice the workers while there is work for them.
    cluster.adapt(
        minimum=spec.min_workers or spec.num_jobs, maximum=spec.num_jobs, target_duration=f"{TASK_S / 2:.0f}s"
    )
    return cluster


def _await_worker(client: "Client", spec: ClusterSpec, stopping: Callable[[], bool]) -> None:
    until = time.monotonic() + spec.patience_s
    is_told = False
    while not stopping():
        if any(each["status"] == "running" for each in workers_of(client).values()):
            return
        if spec.kind == "slurm" and _has_taken_one(client) and not is_told:
            wait = timedelta(seconds=spec.patience_s)
            sys.stderr.write(f"{_asked(spec)}; waiting up to {wait} for the first worker. {_look(spec)}\n")
            is_told = True
        if time.monotonic() > until:
            if spec.kind == "slurm":
                raise ClusterError(f"{_asked(spec)}, and no worker came in {spec.patience_s:.0f} s. {_look(spec)}")
            where = spec.address or spec.scheduler_file or "this process"
            raise ClusterError(
                f"The scheduler at {where} has had no worker for {spec.patience_s:.0f} s. Start workers, then run "
                "again."
            )
        time.sleep(_LOOK_EVERY_S)


def _has_taken_one(client: "Client") -> bool:
    """Whether Slurm has taken a job; ClusterError when it has refused all of them twice."""
    jobs = list(cast("Any", client.cluster).workers.values())  # at once: the loop's thread changes them
    if jobs and all(job.num_refused > 1 for job in jobs):
        raise ClusterError(jobs[0].refusal)
    return any(job.job_id for job in jobs)


def _asked(spec: ClusterSpec) -> str:
    num_jobs = spec.min_workers or spec.num_jobs
    return f"{num_jobs:,} job{'s are' if num_jobs > 1 else ' is'} asked of Slurm"


def _look(spec: ClusterSpec) -> str:
    return f"`squeue` says what is waited for; what jobs print is in {spec.slurm.logs}."
