"""Which cluster a config means, and what can be said of it before it is there."""

import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import psutil

from curation.core.errors import ConfigError
from curation.core.words import counted
from curation.execution.cluster.gpus import gpus, why_no_cuda
from curation.execution.cluster.slurm import SlurmSpec
from curation.execution.cluster.worker import cores
from curation.inference.replica import AUTO, ScoringSpec

_WAIT_S = 120
_QUEUE_S = 86_400
_RMM_BYTES = 2 << 30  # a frame of text is bounded by input.partition_bytes; cuDF copies it some times


@dataclass(frozen=True)
class ClusterSpec:
    """The ``[cluster]`` table.

    ``cpu`` starts worker processes on this machine, `workers` of them (0: one for each core, or for as many cores as
    have scoring.compute_threads) with `memory_bytes` each (0: an equal share of the machine's). ``cuda`` starts one for
    each GPU of this machine, or for the first `workers`, and keeps `rmm_bytes` of each GPU for cuDF (0: 2 GiB with cuDF
    frames, else none). ``auto`` is ``cuda`` where NVML reports a GPU, else ``cpu``. ``slurm`` asks Slurm for `workers`
    jobs of one worker each, as [cluster.slurm] says; with `min_workers` they come and go with the work. ``existing``
    uses a scheduler by `address` or `scheduler_file`, and leaves it running; `workers` then is what doctor counts by.

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
            *self._wrong_kind(),
            *self._wrong_numbers(),
            *self.device_mistakes(device),
            *self._not_here(device),
            *self.slurm.mistakes(),
        ]

    def notes(self) -> list[str]:
        """What a config says of workers and an existing cluster, which has its own, has no use for.

        No mistakes: it is what the same config says to a cluster that is started, and doctor counts by `workers`.
        """
        keys = self._misplaced() if self.kind == "existing" else ()
        return [
            f"cluster.{key}: has no effect on a run here; an existing cluster has the workers it has." for key in keys
        ]

    def _misplaced(self) -> Iterator[str]:
        """The settings that have no effect on this kind of cluster."""
        for key, kinds in {
            "address": ("existing",),
            "scheduler_file": ("existing",),
            "workers": ("auto", "cpu", "cuda", "slurm"),
            "memory_bytes": ("auto", "cpu", "cuda", "slurm"),
            "min_workers": ("slurm",),
            "rmm_bytes": ("auto", "cuda"),
        }.items():
            if getattr(self, key) and self.kind not in kinds:
                yield key

    def _wrong_kind(self) -> Iterator[str]:
        if self.kind != "existing":
            for key in self._misplaced():
                yield f'cluster.{key}: has no effect with kind = "{self.kind}"; leave it out, or choose another kind.'
        if self.kind == "existing" and bool(self.address) == bool(self.scheduler_file):
            yield "cluster: an existing cluster is named by its address or by its scheduler_file, one of them."

    def _wrong_numbers(self) -> Iterator[str]:
        for key in ("workers", "min_workers", "memory_bytes", "rmm_bytes", "wait_s"):
            if getattr(self, key) < 0:
                yield f"cluster.{key}: {getattr(self, key)} is below 0; 0 stands for the default."
        if self.kind == "slurm" and self.min_workers > self.num_jobs:
            yield f"cluster.min_workers: {self.min_workers} is more than the {self.num_jobs} workers at most."

    def device_mistakes(self, device: str) -> Iterator[str]:
        """Why this device cannot score on this kind of cluster."""
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
        elif self.kind == "cuda" and self.workers > (num_gpus := len(gpus())):
            yield f"cluster.workers: {self.workers} is more than this machine's {num_gpus} GPUs, one for each worker."
        if self.kind == "slurm" and self.slurm.container:
            yield 'cluster.slurm.container: has no effect with kind = "slurm"; use pipelines/submit.py.'
        if self.kind == "slurm" and find_spec("dask_jobqueue") is None:
            yield "cluster: slurm needs dask-jobqueue; pip install '.[slurm]'."
        if self.kind == "slurm" and self.slurm.interface not in {"", *(there := _interfaces())}:
            yield (
                f"cluster.slurm.interface: {self.slurm.interface!r} is no interface with an IPv4 address of this "
                f"machine, where the scheduler runs; there are {', '.join(there)}. Name the one that the nodes reach."
            )

    def settled(self, device: str) -> "tuple[ClusterSpec, str]":
        """Another kind for ``auto``, and why, when `device` scores."""
        if self.kind != AUTO:
            return self, ""
        why = "scoring.device is cpu" if device == "cpu" else why_no_cuda()
        if why:
            return replace(self, kind="cpu"), f"auto: {why}"
        num_gpus = len(gpus())
        reason = f"auto: NVML reports {counted(num_gpus, 'GPU')}"
        return replace(self, kind="cuda", workers=min(self.workers, num_gpus)), reason

    def device(self, asked: str) -> str:
        """The device that "auto" stands for; on an existing cluster, which nothing is known of yet, the CPU."""
        if asked != AUTO:
            return asked
        on_gpus = self.settled(asked)[0].kind == "cuda" or (self.kind == "slurm" and self.slurm.gpus)
        return "cuda" if on_gpus else "cpu"

    def scoring(self, asked: ScoringSpec) -> tuple[ScoringSpec, Sequence[str]]:
        """How it is scored where "auto" has become a device, and what that device cannot do of what is asked."""
        device = self.device(asked.device)
        try:
            return replace(asked, device=device), ()
        except ConfigError as error:
            return ScoringSpec(device), error.mistakes

    def with_room_for(self, frame: str) -> "ClusterSpec":
        """The same with memory for frames of this library on every GPU that it starts a worker for."""
        needs_room = frame == "cudf" and self.kind in {AUTO, "cuda"} and not self.rmm_bytes
        return replace(self, rmm_bytes=_RMM_BYTES) if needs_room else self

    def num_workers(self, compute_threads: int) -> int:
        """The worker processes that ``cpu`` starts: by default as many as have cores for their threads."""
        return self.workers or max(1, cores() // compute_threads)

    def num_asked(self, scoring: ScoringSpec) -> int:
        """The workers that are asked for, of those that come and go the fewest; 0 where any number will do."""
        spec, _ = self.settled(scoring.device)
        if spec.kind == "cpu":
            return spec.num_workers(scoring.compute_threads)
        if spec.kind == "cuda":
            return spec.workers or len(gpus())
        return spec.min_workers or spec.num_jobs if spec.kind == "slurm" else spec.workers

    @property
    def num_jobs(self) -> int:
        """The most jobs of one worker that ``slurm`` asks for."""
        return self.workers or self.slurm.num_workers

    @property
    def patience_s(self) -> float:
        """How long a run waits while there is no worker."""
        return self.wait_s or (_QUEUE_S if self.kind == "slurm" else _WAIT_S)

    def describe(self, scoring: ScoringSpec) -> str:
        """The cluster for people, before it is there."""
        spec, why = self.settled(scoring.device)
        because = f" ({why})" if why else ""
        if spec.kind == "existing":
            return f"existing, {spec.address or spec.scheduler_file}, scoring on {spec.device(scoring.device)}"
        if spec.kind == "slurm":
            at_least = f"{spec.min_workers} to " if spec.min_workers else ""
            jobs = f"{at_least}{counted(spec.num_jobs, 'job')} of one worker"
            return f"slurm, {jobs}, scoring on {spec.device(scoring.device)}"
        if spec.kind == "cpu":
            return f"cpu, {counted(spec.num_workers(scoring.compute_threads), 'worker')}{because}"
        mine = gpus()[: spec.workers or None]
        total, rmm = min((gpu.memory_bytes for gpu in mine), default=0) / 2**30, spec.rmm_bytes / 2**30
        memory = f"RMM has {rmm:.1f} of its {total:.1f} GiB, torch what is left"
        return f"cuda, {counted(len(mine), 'worker')}{because}, each with a GPU; {memory}"


def _interfaces() -> list[str]:
    """The network interfaces of this machine that have an IPv4 address."""
    found = psutil.net_if_addrs().items()
    return sorted(name for name, addresses in found if any(each.family == socket.AF_INET for each in addresses))
