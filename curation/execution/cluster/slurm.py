"""What is asked of Slurm."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from curation.execution.cluster.worker import PRELOAD, worker_environ
from curation.execution.job import COMES_BACK
from curation.execution.walltime import ENDS

LOST_WORKER_S = 60
"""How long dask-jobqueue waits for a worker that a nanny starts again before it takes its job for lost."""

_TIME = re.compile(r"(\d+-)?\d+(:\d\d){0,2}")


@dataclass(frozen=True)
class SlurmSpec:
    """The ``[cluster.slurm]`` table: what ``kind = "slurm"`` and ``pipelines/submit.py`` ask of Slurm.

    partition, account : "" leaves them to Slurm.
    time : of a job, as Slurm writes it: "90" minutes, "4:00:00", "1-12:00:00".
    nodes, workers_per_node : together the workers. Every worker has a core for each compute thread and one more, or
        `cpus`, and with ``gpus = 1`` a GPU of its own.
    interface : the network between nodes, such as "ib0"; "" takes the one with the default route.
    container, runtime, mounts : an image that has this package, started by pyxis or Apptainer, and the folders it sees,
        each "/outside:/inside" or "/both".
    setup : shell lines that come first in every job, such as "module load cuda".
    directives : further options of sbatch, such as "--qos=low".
    logs : the folder for what the jobs of ``kind = "slurm"`` print; a submission has a folder of its own.
    """

    partition: str = ""
    account: str = ""
    time: str = "1:00:00"
    nodes: int = 1
    workers_per_node: int = 1
    cpus: int = 0
    gpus: Literal[0, 1] = 0
    interface: str = ""
    container: str = ""
    runtime: Literal["pyxis", "apptainer"] = "pyxis"
    mounts: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    directives: tuple[str, ...] = ()
    logs: str = "slurm-logs"

    def mistakes(self) -> list[str]:
        """What is wrong with it."""
        found = [
            f"cluster.slurm.{key}: {getattr(self, key)} is below 1."
            for key in ("nodes", "workers_per_node")
            if getattr(self, key) < 1
        ]
        if self.cpus < 0:
            found.append(f"cluster.slurm.cpus: {self.cpus} is below 0; 0 means one more than compute threads.")
        if not _TIME.fullmatch(self.time) or not seconds(self.time):
            found.append(
                f'cluster.slurm.time: {self.time!r} is no time; write "90" minutes, "4:00:00" or "1-12:00:00".'
            )
        if self.mounts and not self.container:
            found.append("cluster.slurm.mounts: has no effect without a container.")
        for mount in self.mounts:
            places = mount.split(":")
            if len(places) > 2 or not all(place.startswith("/") for place in places):
                found.append(f'cluster.slurm.mounts: {mount!r} is no mount; write "/outside:/inside" or "/both".')
            elif "," in mount and self.runtime == "pyxis":
                found.append(f"cluster.slurm.mounts: {mount!r} holds a comma, where a mount of pyxis ends.")
        for key in ("partition", "account", "time", "interface", "container", "mounts", "directives"):
            value = getattr(self, key)
            if any("\n" in each for each in ([value] if isinstance(value, str) else value)):
                found.append(f"cluster.slurm.{key}: holds a line break, which would end the line of the script.")
        return found

    @property
    def num_workers(self) -> int:
        """The workers on all nodes."""
        return self.nodes * self.workers_per_node

    def cores(self, compute_threads: int) -> int:
        """The cores of each worker: one is for reading ahead and writing behind."""
        return self.cpus or compute_threads + 1

    def jobqueue(self, memory_bytes: int, compute_threads: int) -> dict[str, Any]:
        """The settings of dask-jobqueue's SLURMCluster for jobs of one worker each.

        Slurm bounds a worker's memory; without `memory_bytes` nothing is asked and Dask bounds nothing.
        """
        where = {} if self.interface else {"host": "0.0.0.0"}  # noqa: S104 - nodes call back
        return {
            "queue": self.partition or None,
            "account": self.account or None,
            "walltime": self.time,
            "cores": 1,
            "processes": 1,
            "job_cpu": self.cores(compute_threads),
            "memory": f"{memory_bytes or 1 << 30} B",
            "job_directives_skip": [] if memory_bytes else ["--mem="],
            "job_extra_directives": ["--no-requeue", *(["--gres=gpu:1"] if self.gpus else []), *self.directives],
            "job_script_prologue": [*exports(compute_threads, comes_back=False), *self.setup],
            "log_directory": self.logs,
            "worker_extra_args": [
                "--preload",
                PRELOAD,
                "--preload-nanny",
                PRELOAD,
                "--memory-limit",
                str(memory_bytes),
            ],
            "interface": self.interface or None,
            "scheduler_options": {"dashboard_address": ":0"} | where,
        }


def seconds(time: str) -> int:
    """The seconds of a time as Slurm writes it: minutes, M:S, H:M:S, D-H, D-H:M or D-H:M:S."""
    days, dash, rest = time.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash:
        hours, minutes, secs = [*parts, 0, 0][:3]
    elif len(parts) == 3:
        hours, minutes, secs = parts
    else:
        hours, (minutes, secs) = 0, [*parts, 0][:2]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + secs


def exports(compute_threads: int, *, comes_back: bool = True) -> Iterator[str]:
    """The lines of a job script that give its processes their environment; whether it puts itself back in the queue."""
    yield from (f"export {key}={value}" for key, value in worker_environ(compute_threads).items())
    if comes_back:
        yield f"export {COMES_BACK}=1"
    job = '"${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"'
    yield f"ends=$(squeue --noheader --job {job} --format %e 2>/dev/null || true)"
    yield f'if [ -n "$ends" ]; then {ENDS}=$(date +%s -d "$ends" || echo "${{{ENDS}:-}}"); export {ENDS}; fi'
