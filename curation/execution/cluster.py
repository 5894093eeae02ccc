"""Where the workers are. After `connect` nothing can tell which kind of cluster it is."""

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from curation.core.errors import ClusterError
from curation.execution.gpus import gpus, own_gpu, why_no_cuda
from curation.execution.slurm import LOST_WORKER_S, SlurmSpec
from curation.execution.worker import ALLOWED_FAILURES, PRELOAD, cores, worker_environ
from curation.inference.replica import AUTO, ScoringSpec

if TYPE_CHECKING:
    from distributed import Client

_REACH_S = 60
_WAIT_S = 120
_RMM_BYTES = 2 << 30  # a frame of text is bounded by input.partition_bytes; cuDF copies it some times
_LOOK_EVERY_S = 1


@dataclass(frozen=True)
class ClusterSpec:
    """The ``[cluster]`` table.

    ``cpu`` starts worker processes on this machine, `workers` of them (0: one for each core, or for as many cores as
    have scoring.compute_threads) with `memory_bytes` each (0: an equal share of the machine's). ``cuda`` starts one for
    each GPU of this machine, or for the first `workers`, and keeps `rmm_bytes` of each GPU for cuDF (0: 2 GiB with cuDF
    frames, else none). ``auto`` is ``cuda`` where NVML reports a GPU, else ``cpu``. ``slurm`` asks Slurm for `workers`
    jobs of one worker each, as [cluster.slurm] says; with `min_workers` they come and go with the work. ``existing``
    uses a scheduler by `address` or `scheduler_file`, and leaves it running.

    While there is no worker at all a run waits for `wait_s` seconds (0: two minutes; a day for Slurm's queue).
    """

    kind: Literal["auto", "cpu", "cuda", "slurm", "existing"] = "auto"
    workers: int = 0
    min_workers: int = 0
    memory_bytes: int = 0
    rmm_bytes: int = 0
    address: str = ""
    scheduler_file: str = ""
    wait_s: int = 0
    slurm: SlurmSpec = SlurmSpec()

    def mistakes(self, device: str = AUTO) -> list[str]:
        """What is wrong with it, as far as can be seen without connecting, when `device` scores."""
        return [
            *self._misplaced(),
            *self._wrong_numbers(),
            *self._wrong_device(device),
            *self._not_here(device),
            *self.slurm.mistakes(),
        ]

    def _misplaced(self) -> Iterator[str]:
        """Settings that have no effect on this kind of cluster."""
        for key, kinds in {
            "address": ("existing",),
            "scheduler_file": ("existing",),
            "workers": ("auto", "cpu", "cuda", "slurm"),
            "memory_bytes": ("auto", "cpu", "cuda", "slurm"),
            "min_workers": ("slurm",),
            "rmm_bytes": ("auto", "cuda"),
        }.items():
            if getattr(self, key) and self.kind not in kinds:
                yield f'cluster.{key}: has no effect with kind = "{self.kind}"; leave it out, or choose another kind.'
        if self.kind == "existing" and bool(self.address) == bool(self.scheduler_file):
            yield "cluster: an existing cluster is named by its address or by its scheduler_file, one of them."

    def _wrong_numbers(self) -> Iterator[str]:
        for key in ("workers", "min_workers", "memory_bytes", "rmm_bytes", "wait_s"):
            if getattr(self, key) < 0:
                yield f"cluster.{key}: {getattr(self, key)} is below 0; 0 stands for the default."
        if self.kind == "slurm" and self.min_workers > self.num_jobs:
            yield f"cluster.min_workers: {self.min_workers} is more than the {self.num_jobs} workers at most."

    def _wrong_device(self, device: str) -> Iterator[str]:
        if self.kind != "existing" and ":" in device:
            yield f'scoring.device: {device!r} names one GPU, and every worker has its own; write "cuda".'
        elif self.kind == "cpu" and device == "cuda":
            yield 'scoring.device: workers of kind = "cpu" would all use one GPU; write kind = "cuda".'
        elif self.kind == "cuda" and device == "cpu":
            yield 'scoring.device: "cpu" leaves the GPUs of kind = "cuda" idle; write kind = "cpu".'
        elif self.kind == "slurm" and device not in {AUTO, "cuda" if self.slurm.gpus else "cpu"}:
            yield f"scoring.device: {device!r} does not fit cluster.slurm.gpus = {self.slurm.gpus}; leave it out."

    def _not_here(self, device: str) -> Iterator[str]:
        if self.scheduler_file and not Path(self.scheduler_file).exists():
            yield f"cluster.scheduler_file: {self.scheduler_file} does not exist; is the scheduler up?"
        needs_gpus = self.kind == "cuda" or (self.kind == "auto" and device == "cuda")
        if needs_gpus and (why := why_no_cuda()):
            yield f"cluster: GPUs are asked for, and {why}."
        elif needs_gpus and self.workers > (num_gpus := len(gpus())):
            yield f"cluster.workers: {self.workers} is more than this machine's {num_gpus} GPUs, one for each worker."
        if self.kind == "slurm" and find_spec("dask_jobqueue") is None:
            yield "cluster: slurm needs dask-jobqueue; pip install '.[slurm]'."

    def settled(self, device: str) -> "tuple[ClusterSpec, str]":
        """Another kind for ``auto``, and why, when `device` scores."""
        if self.kind != AUTO:
            return self, ""
        why = "scoring.device is cpu" if device == "cpu" else why_no_cuda()
        if why:
            return replace(self, kind="cpu"), f"auto: {why}"
        return replace(self, kind="cuda"), f"auto: NVML reports {len(gpus())} GPUs"

    def device(self, asked: str) -> str:
        """The device that "auto" stands for; on an existing cluster, which nothing is known of yet, the CPU."""
        if asked != AUTO:
            return asked
        on_gpus = self.settled(asked)[0].kind == "cuda" or (self.kind == "slurm" and self.slurm.gpus)
        return "cuda" if on_gpus else "cpu"

    def with_room_for(self, frame: str) -> "ClusterSpec":
        """The same with memory for frames of this library on every GPU that it starts a worker for."""
        needs_room = frame == "cudf" and self.kind in {AUTO, "cuda"} and not self.rmm_bytes
        return replace(self, rmm_bytes=_RMM_BYTES) if needs_room else self

    def num_workers(self, compute_threads: int) -> int:
        """The worker processes that ``cpu`` starts: by default as many as have cores for their threads."""
        return self.workers or max(1, cores() // compute_threads)

    @property
    def num_jobs(self) -> int:
        """The most jobs of one worker that ``slurm`` asks for."""
        return self.workers or self.slurm.num_workers

    @property
    def patience_s(self) -> float:
        """How long a run waits while there is no worker."""
        return self.wait_s or (86_400 if self.kind == "slurm" else _WAIT_S)

    def describe(self, scoring: ScoringSpec) -> str:
        """The cluster for people, before it is there."""
        spec, why = self.settled(scoring.device)
        because = f" ({why})" if why else ""
        if spec.kind == "existing":
            return f"existing, {spec.address or spec.scheduler_file}, scoring on {scoring.device}"
        if spec.kind == "slurm":
            at_least = f"{spec.min_workers} to " if spec.min_workers else ""
            return f"slurm, {at_least}{spec.num_jobs} jobs of one worker, scoring on {scoring.device}"
        if spec.kind == "cpu":
            num_workers = spec.num_workers(scoring.compute_threads)
            return f"cpu, {num_workers} worker{'s' * (num_workers > 1)}{because}"
        mine = gpus()[: spec.workers or None]
        total, rmm = min((gpu.memory_bytes for gpu in mine), default=0) / 2**30, spec.rmm_bytes / 2**30
        memory = f"RMM has {rmm:.1f} of its {total:.1f} GiB, torch what is left"
        return f"cuda, {len(mine)} worker{'s' * (len(mine) > 1)}{because}, each with a GPU; {memory}"


@contextmanager
def connect(
    spec: ClusterSpec, scoring: ScoringSpec, stopping: Callable[[], bool] = lambda: False
) -> "Iterator[Client]":
    """A client of the cluster with at least one worker, and on leaving, the end of whatever was started for it.

    When `stopping()` turns true while there is no worker yet, none is waited for.

    One process and one Dask thread a worker; its libraries use scoring.compute_threads threads, told before they are
    imported. Raises ClusterError when the scheduler cannot be reached, has no worker in time, or has workers that would
    quarrel about a GPU or a replica.
    """
    spec, _ = spec.settled(scoring.device)
    with ExitStack() as stack:
        where = spec.address or spec.scheduler_file or "this process"
        client = stack.enter_context(_existing(spec, where) if spec.kind == "existing" else _started(spec, scoring))
        _await_worker(client, where, spec.patience_s, stopping)
        check_workers(client, scoring.device if spec.kind == "existing" else spec.device(scoring.device))
        yield client


def check_workers(client: "Client", device: str) -> None:
    """Raise ClusterError where two tasks would share one replica, two workers one GPU, or GPUs would idle unasked."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    if several := sorted({each["nthreads"] for each in workers.values()} - {1}):
        raise ClusterError(
            f"Workers run {several[-1]} tasks at a time; one is right, as every task uses its worker's models by "
            "itself. Start them with --nthreads 1, and more of them."
        )
    if device == "cpu":
        return
    owners = defaultdict(list)
    for address, uuid in client.run(own_gpu, on_error="ignore").items():
        owners[uuid].append(f"{workers[address]['name']} ({address})" if address in workers else address)
    without = owners.pop("", [])
    if device == AUTO:
        if owners:
            raise ClusterError(
                "The workers have GPUs; say whether they are used: scoring.device=cuda, or scoring.device=cpu."
            )
        return
    if without:
        raise ClusterError(
            f"Workers without a GPU: {', '.join(without)}. Start one for each GPU (dask cuda worker, or "
            'cluster.slurm.gpus = 1), or score with scoring.device = "cpu".'
        )
    for uuid, names in owners.items():
        if len(names) > 1:
            raise ClusterError(
                f"{' and '.join(names)} share the GPU {uuid}; one worker for each GPU is right. Give each its own "
                "CUDA_VISIBLE_DEVICES, or start fewer."
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
    cluster.adapt(minimum=spec.min_workers or spec.num_jobs, maximum=spec.num_jobs)
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
