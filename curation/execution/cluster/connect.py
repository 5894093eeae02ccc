"""A client of the cluster that a config means: the one place that knows its kinds."""

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from curation.core.errors import ClusterError
from curation.execution.cluster.gpus import own_gpu
from curation.execution.cluster.slurm import LOST_WORKER_S
from curation.execution.cluster.spec import ClusterSpec
from curation.execution.cluster.worker import ALLOWED_FAILURES, PRELOAD, worker_environ
from curation.execution.window import TASK_S
from curation.inference.replica import AUTO, ScoringSpec

if TYPE_CHECKING:
    from distributed import Client

_REACH_S = 60
_LOOK_EVERY_S = 1


@contextmanager
def connect(
    spec: ClusterSpec, scoring: ScoringSpec, stopping: Callable[[], bool] = lambda: False
) -> "Iterator[Client]":
    """A client of the cluster with at least one worker, and on leaving, the end of whatever was started for it.

    One process and one Dask thread a worker; its libraries use scoring.compute_threads threads, told before they are
    imported. When `stopping()` turns true while there is no worker yet, none is waited for. Raises ClusterError when
    the scheduler cannot be reached, has no worker in time, or has workers that would quarrel about a GPU or a replica.
    """
    spec, _ = spec.settled(scoring.device)
    where = spec.address or spec.scheduler_file or "this process"
    with _existing(spec, where) if spec.kind == "existing" else _started(spec, scoring) as client:
        _await_worker(client, where, spec.patience_s, stopping)
        Roll(client, scoring.device if spec.kind == "existing" else spec.device(scoring.device)).call()
        yield client


class Roll:
    """The workers of a cluster: each is looked at when it is new, for it may come at any time."""

    def __init__(self, client: "Client", device: str) -> None:
        self.client, self.device = client, device
        self.gpus: dict[str, str] = {}

    def call(self) -> None:
        """Look at those who are new.

        Raises ClusterError where two tasks would share one replica, two workers one GPU, or GPUs would idle unasked.
        """
        workers = self.client.scheduler_info(n_workers=-1)["workers"]
        if several := sorted({each["nthreads"] for each in workers.values()} - {1}):
            raise ClusterError(
                f"Workers run {several[-1]} tasks at a time; one is right, as every task uses its worker's models by "
                "itself. Start them with --nthreads 1, and more of them."
            )
        new = [worker for worker in workers if worker not in self.gpus]
        found = dict.fromkeys(new, "")
        if new and self.device != "cpu":
            found = self.client.run(own_gpu, workers=new, on_error="ignore")
        self.gpus = {worker: uuid for worker, uuid in self.gpus.items() if worker in workers} | found
        if self.device != "cpu":
            self._check({worker: f"{each['name']} ({worker})" for worker, each in workers.items()})

    def _check(self, names: Mapping[str, str]) -> None:
        owners = defaultdict(list)
        for worker, uuid in self.gpus.items():
            owners[uuid].append(names[worker])
        without = owners.pop("", [])
        if self.device == AUTO and owners:
            raise ClusterError(
                "The workers have GPUs; say whether they are used: scoring.device=cuda, or scoring.device=cpu."
            )
        if self.device != AUTO and without:
            raise ClusterError(
                f"Workers without a GPU: {', '.join(without)}. Start one for each GPU (dask cuda worker, or "
                'cluster.slurm.gpus = 1), or score with scoring.device = "cpu".'
            )
        for uuid, several in owners.items():
            if len(several) > 1:
                raise ClusterError(
                    f"{' and '.join(several)} share the GPU {uuid}; one worker for each GPU is right. Give each its "
                    "own CUDA_VISIBLE_DEVICES, or start fewer."
                )


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
            with silence_logging_cmgr("ERROR"):  # a worker that is slow to end is killed, which harms nothing now
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

    del scratch  # is not on the nodes
    cluster = SLURMCluster(**spec.slurm.jobqueue(spec.memory_bytes, scoring.compute_threads))
    # Not scale(): it would not replace a job that ended early.
    # A window has two tasks for each worker: this target asks for twice the workers while there is work for them.
    cluster.adapt(
        minimum=spec.min_workers or spec.num_jobs, maximum=spec.num_jobs, target_duration=f"{TASK_S / 2:.0f}s"
    )
    return cluster


@contextmanager
def _existing(spec: ClusterSpec, where: str) -> "Iterator[Client]":
    from distributed import Client
    from distributed.utils import silence_logging_cmgr

    try:
        client = Client(address=spec.address or None, scheduler_file=spec.scheduler_file or None, timeout=_REACH_S)
    except (OSError, ValueError) as error:
        raise ClusterError(f"No scheduler answers at {where}: {error}. Start it, or correct [cluster].") from None
    try:
        yield client
    finally:
        with silence_logging_cmgr("CRITICAL"):  # what is logged here is a client that still calls a lost scheduler
            client.close()


def _await_worker(client: "Client", where: str, patience_s: float, stopping: Callable[[], bool]) -> None:
    until = time.monotonic() + patience_s
    while not stopping():
        with suppress(TimeoutError):
            client.wait_for_workers(1, timeout=_LOOK_EVERY_S)
            return
        if time.monotonic() > until:
            raise ClusterError(
                f"The scheduler at {where} has had no worker for {patience_s:.0f} s. Start workers, then run again."
            )
