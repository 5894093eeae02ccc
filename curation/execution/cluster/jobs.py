"""The scripts of a run's Slurm jobs. Rendering is pure: nothing here submits."""

import math
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from curation import config
from curation.core.fingerprint import canonical_json
from curation.data import storage
from curation.execution.cluster.slurm import SlurmSpec, exports, seconds
from curation.execution.cluster.spec import ClusterSpec
from curation.execution.cluster.worker import ALLOWED_FAILURES, PRELOAD
from curation.execution.spec import RunSpec

CONFIG, DRIVER, WORKERS = "config.json", "driver.sh", "workers.sh"

_ENDING_S = 60
_STARTING_S = 600  # what the processes of one job wait for each other
_SCHEDULER = "the scheduler of the job"


@dataclass(frozen=True)
class Place:
    """Where a job finds things: the Python that has this package, the repository, and the folder to work in."""

    python: str
    repository: str
    folder: str


IN_CONTAINER = ("python", "/opt/curation")
"""The Python and the repository of the images in docker/."""


@dataclass(frozen=True)
class Submission:
    """A run as Slurm gets it.

    `folder`, on a shared disk, holds its scripts, config, scheduler file and logs; "" where nothing says which.
    """

    spec: RunSpec
    folder: str
    place: Place

    @property
    def slurm(self) -> SlurmSpec:
        """What is asked of Slurm."""
        return self.spec.cluster.slurm

    @property
    def name(self) -> str:
        """Of the job: that of the run directory."""
        return f"curation-{PurePosixPath(self.spec.output).name}"

    @property
    def notes(self) -> list[str]:
        """The settings that have no effect on a submission."""
        return [
            f"cluster.{key}: has no effect on a submission, whose workers are nodes · workers_per_node."
            for key in ("workers", "min_workers")
            if getattr(self.spec.cluster, key)
        ]

    @property
    def planned(self) -> RunSpec:
        """The run as its driver will plan it, but for a scheduler that has no address yet."""
        wait_s = 0 if self.slurm.mistakes() else seconds(self.slurm.time)
        return replace(
            self.spec,
            scoring=self._cluster.scoring(self.spec.scoring)[0],
            cluster=ClusterSpec(kind="existing", address=_SCHEDULER, wait_s=wait_s),
        )

    def mistakes(self) -> list[str]:
        """What Slurm cannot do, what its scripts cannot hold, and what a container would not see.

        All that is beside the mistakes of the plan; nothing is rendered where there are some.
        """
        device, (_, unable) = self.spec.scoring.device, self._cluster.scoring(self.spec.scoring)
        found = [*self._cluster.device_mistakes(device), *unable, *self.slurm.mistakes()]
        if not self.folder:
            found.append(
                f"output: {self.spec.output} is not on a disk; name a shared folder for scripts and logs by --folder."
            )
        if "--no-requeue" in self.slurm.directives:
            found.append(
                "cluster.slurm.directives: with --no-requeue a run ends for good when its time is over; leave it out."
            )
        if "\n" in self.folder:
            found.append(f"output: {self.folder!r} holds a line break, which would end the line of the script.")
        return [*found, *(_unseen(self) if self.slurm.container else ())]

    @property
    def _cluster(self) -> ClusterSpec:
        return replace(self.spec.cluster, kind="slurm")


def submission(spec: RunSpec, folder: str, place: Place) -> Submission:
    """What is submitted for a run, from a new folder in `folder`, or in one beside its output."""
    output = storage.from_root(spec.output.rstrip("/"))
    if not folder and "://" in output:
        return Submission(spec, "", place)
    return Submission(spec, _next(Path(folder or f"{output}-slurm").absolute()), place)


def _next(folder: Path) -> str:
    """A folder of its own for each submission: a job that is requeued finds what it was submitted with."""
    numbers = [int(path.name) for path in folder.glob("*") if path.name.isdigit()]
    return str(folder / str(max(numbers, default=0) + 1))


def _unseen(job: Submission) -> Iterator[str]:
    """Why the container of a run would not see what the run opens."""
    if set(job.folder) & set(":,"):
        yield f"output: {job.folder} holds a colon or a comma, where a mount ends; name another folder by --folder."
    inside = [mount.rpartition(":")[2] for mount in _mounts(job)]
    spec = job.spec
    named = [("output", spec.output), *(("[input] path", path) for path in spec.input.path)]
    named += [("tiering.thresholds", spec.tiering.thresholds), *spec.paths_of_workers().items()]
    seen = set()
    for key, path in named:
        path = path.removeprefix("file://")  # noqa: PLW2901 - what is left of it is looked at
        if not path or "://" in path or path.startswith(("embedded:", "package:")) or path in seen:
            continue
        seen.add(path)
        if not path.startswith("/"):
            yield f"{key}: {path} lies elsewhere in a container, which has folders of its own; write an absolute path."
        elif not any(f"{path}/".startswith(f"{place.rstrip('/')}/") for place in inside):
            yield f"cluster.slurm.mounts: the container would not see {path}; mount its folder."


def render(job: Submission, *, array: bool) -> dict[str, str]:
    """The files of a submission by name; driver.sh is the one to submit.

    Without `array` one allocation holds scheduler, workers and driver. With it the job of scheduler and driver submits
    an array of jobs of one worker each, which come and go as Slurm has room, and takes it back when the driver ends.
    """
    tables = config.dump(replace(job.planned, cluster=replace(job.planned.cluster, address="")))
    files = {CONFIG: canonical_json(tables).decode() + "\n", DRIVER: _text(_driver(job, array=array))}
    return files | ({WORKERS: _text(_workers(job))} if array else {})


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _driver(job: Submission, *, array: bool) -> Iterator[str]:
    python, repository = _inside(job)
    what = "The scheduler and the driver" if array else "Scheduler, workers and driver"
    size = ["--nodes=1", "--ntasks=1", "--cpus-per-task=2"] if array else list(_allocation(job))
    yield from _header(job, f"{what} of a run", size, "%x-%j.out")
    yield f"export DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES={ALLOWED_FAILURES}"
    yield f"folder={shlex.quote(job.folder)}"
    yield "# For jobs with --signal=B:USR1@…; the driver knows by itself when its job ends."
    yield 'trap \'[ -z "${driver:-}" ] || kill -USR1 "$driver"\' USR1'
    yield 'log="$folder/$SLURM_JOB_NAME-$SLURM_JOB_ID"'
    yield 'scheduler_file="$folder/scheduler-$SLURM_JOB_ID.json"'
    yield 'rm -f "$scheduler_file"'
    yield ""
    yield f'{_here(job)}{python} -m dask scheduler --scheduler-file "$scheduler_file" --port 0 \\'
    yield f'    --dashboard-address :0 --preload {PRELOAD}{_interface(job)} >> "$log-scheduler.out" 2>&1 &'
    yield "scheduler=$!"
    yield 'until [ -s "$scheduler_file" ]; do # the scheduler writes it when it listens'
    yield '    kill -0 "$scheduler" 2>/dev/null || { echo "The scheduler did not start." >&2; exit 1; }'
    yield "    sleep 0.1"
    yield "done"
    yield from _array() if array else _step(job)
    yield ""
    yield f'{_here(job)}{python} {repository}/pipelines/run_ensemble.py "$folder/{CONFIG}" \\'
    yield '    cluster.scheduler_file="$scheduler_file" &'
    yield "driver=$!"
    yield "trap '' TERM # reaches the driver by itself"
    yield "# The trap ends a wait too; the driver's own code is told by a wait after its end."
    yield 'while kill -0 "$driver" 2>/dev/null; do wait "$driver" || true; done'
    yield 'code=0; wait "$driver" || code=$?'
    yield ""
    yield 'rm -f "$scheduler_file"'
    yield 'kill -INT "$scheduler" 2>/dev/null || true # and with it its workers'
    yield from (['scancel "${workers%%;*}" || true'] if array else [])
    yield "# What does not end by itself ends with this job."
    yield f"for _ in {{1..{_ENDING_S}}}; do"
    processes = '"$scheduler"' if array else '"$scheduler" "$workers"'
    yield f"    kill -0 {processes} 2>/dev/null || break"
    yield "    sleep 1"
    yield "done"
    yield "# 75: stopped, and the same command goes on from there."
    yield 'if [ "$code" = 75 ]; then'
    yield '    scontrol requeue "$SLURM_JOB_ID" || echo "This job cannot be requeued: submit it again to go on."'
    yield "fi"
    yield 'exit "$code"'


def _step(job: Submission) -> Iterator[str]:
    """Workers on all nodes of the allocation."""
    slurm = job.slurm
    gpus = " --gpus-per-task=1" if slurm.gpus else ""
    yield f"srun --overlap --kill-on-bad-exit=0 --nodes={slurm.nodes} --ntasks-per-node={slurm.workers_per_node} \\"
    yield f"    --cpus-per-task={slurm.cores(job.spec.scoring.compute_threads)}{gpus}{_pyxis(job)} \\"
    yield '    --open-mode=append --output="$log-workers-%N.out" \\'
    yield from _dask_worker(job, f"    {_apptainer(job)}", " &")
    yield "workers=$!"


def _array() -> Iterator[str]:
    yield f'workers=$(sbatch --parsable "$folder/{WORKERS}" "$scheduler_file" "$SLURM_JOB_ID")'


def _workers(job: Submission) -> Iterator[str]:
    slurm = job.slurm
    size = [f"--array=0-{slurm.num_workers - 1}", "--nodes=1", "--ntasks=1", *_of_each(job, 1)]
    yield from _header(job, "One worker of a run", size, "%x-%A_%a.out")
    yield 'scheduler_file="$1" driver_job="$2"'
    yield ""
    yield "trap 'exit 143' TERM # reaches the worker too, which ends its shard; who sent it knows what is next"
    yield from _dask_worker(job, _here(job), " || true")
    yield ""
    yield "# Its time is over, or it died: it comes back while there is a driver, which removes the file when it ends."
    yield 'if [ -e "$scheduler_file" ] && squeue --noheader --job "$driver_job" --states=RUNNING | grep -q .; then'
    yield '    scontrol requeue "$SLURM_JOB_ID" || true'
    yield "fi"


def _dask_worker(job: Submission, before: str, after: str) -> Iterator[str]:
    python, _ = _inside(job)
    yield f'{before}{python} -m dask worker --scheduler-file "$scheduler_file" --nthreads 1 --no-dashboard \\'
    yield f"    --memory-limit {job.spec.cluster.memory_bytes} --death-timeout {_STARTING_S} \\"
    yield f"    --preload {PRELOAD} --preload-nanny {PRELOAD}{_interface(job)}{after}"


def _header(job: Submission, what: str, size: Sequence[str], log: str) -> Iterator[str]:
    slurm = job.slurm
    yield "#!/bin/bash"
    yield f"# {what}. Written by pipelines/submit.py."
    options = {
        "job-name": job.name,
        "partition": slurm.partition,
        "account": slurm.account,
        "time": slurm.time,
        "chdir": job.place.folder,
        "output": f"{job.folder}/{log}",
        "open-mode": "append",
    }
    yield from (f"#SBATCH --{key}={shlex.quote(value)}" for key, value in options.items() if value)
    yield from (f"#SBATCH {option}" for option in ("--requeue", *size, *slurm.directives))
    yield from exports(job.spec.scoring.compute_threads)
    yield from slurm.setup
    yield "set -euo pipefail"


def _allocation(job: Submission) -> Iterator[str]:
    slurm = job.slurm
    yield f"--nodes={slurm.nodes}"
    yield f"--ntasks-per-node={slurm.workers_per_node}"
    yield from _of_each(job, slurm.workers_per_node)


def _of_each(job: Submission, num_workers: int) -> Iterator[str]:
    """What the workers of one node need."""
    yield f"--cpus-per-task={job.slurm.cores(job.spec.scoring.compute_threads)}"
    if job.spec.cluster.memory_bytes:
        yield f"--mem={math.ceil(num_workers * job.spec.cluster.memory_bytes / (1 << 20))}M"
    if job.slurm.gpus:
        yield f"--gres=gpu:{num_workers}"


def _inside(job: Submission) -> tuple[str, str]:
    """The Python and the repository, as the processes see them."""
    return IN_CONTAINER if job.slurm.container else (shlex.quote(job.place.python), shlex.quote(job.place.repository))


def _here(job: Submission) -> str:
    """What comes before a process on the node of the script."""
    pyxis = _pyxis(job)
    return f"srun --overlap --nodes=1 --ntasks=1{pyxis} " if pyxis else _apptainer(job)


def _pyxis(job: Submission) -> str:
    if not job.slurm.container or job.slurm.runtime != "pyxis":
        return ""
    mounts = shlex.quote(",".join(_mounts(job)))
    return f" --container-image={shlex.quote(job.slurm.container)} --container-mounts={mounts}"


def _apptainer(job: Submission) -> str:
    if not job.slurm.container or job.slurm.runtime != "apptainer":
        return ""
    binds = "".join(f"--bind {shlex.quote(mount)} " for mount in _mounts(job))
    return f"apptainer exec {'--nv ' if job.slurm.gpus else ''}{binds}{shlex.quote(job.slurm.container)} "


def _mounts(job: Submission) -> Iterator[str]:
    for mount in (job.folder, *job.slurm.mounts):
        yield mount if ":" in mount else f"{mount}:{mount}"


def _interface(job: Submission) -> str:
    return f" --interface {shlex.quote(job.slurm.interface)}" if job.slurm.interface else ""
