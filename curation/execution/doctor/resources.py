"""What the facts mean for what processes need of a node: memory, cores, limits, room for temporary files."""

import time
from collections.abc import Iterator, Mapping, Sequence

from curation.core.words import counted
from curation.execution.doctor.facts import Facts
from curation.execution.doctor.findings import Finding, Workers, by_host, change, named, note, ok

_FILES_A_WORKER, _FILES_A_SCHEDULER = 10, 200  # connections of the scheduler; its log, sockets and libraries
_FILES_OF_A_WORKER = 512
_PROCESSES_A_WORKER = 100  # threads count
_SOON_S = 600.0
_SMALL_SHM_BYTES = 1 << 26  # what containers give by default


def job(environment: Mapping[str, str], asked_cores: int, asked_bytes: int, now: float) -> Iterator[Finding]:
    """What a Slurm job has, and whether the config asks for more of this node than that."""
    get = environment.get
    num_bytes, cpus, end = _job_bytes(environment), get("SLURM_CPUS_ON_NODE", ""), get("SLURM_JOB_END_TIME", "")
    about = {
        "": f"job {get('SLURM_JOB_ID')}",
        "nodes": f"{get('SLURM_JOB_NUM_NODES', '?')}: {get('SLURM_JOB_NODELIST', '?')}",
        "CPUs here": cpus,
        "GPUs": get("SLURM_JOB_GPUS") or get("SLURM_GPUS_ON_NODE") or "none",
        "memory here": f"{num_bytes / 1e9:.1f} GB" if num_bytes else "",
        "ends": time.strftime("%Y-%m-%d %H:%M", time.localtime(int(end))) if end.isdigit() else "",
    }
    yield ok(", ".join(f"{key} {value}".strip() for key, value in about.items() if value))
    if cpus.isdigit() and asked_cores > int(cpus):
        yield change(
            f"The config's workers use {asked_cores} cores, and the job has {cpus} here. Ask for "
            f"`--cpus-per-task={asked_cores}`, or lower cluster.workers."
        )
    if num_bytes and asked_bytes > num_bytes:
        yield change(
            f"The config's workers may take {asked_bytes / 1e9:.1f} GB, and the job has {num_bytes / 1e9:.1f} here. "
            f"Ask for `--mem={asked_bytes >> 20}M`, or lower cluster.memory_bytes."
        )
    if end.isdigit() and int(end) - now < _SOON_S:
        left = counted(round(max(0.0, int(end) - now) / 60), "minute")
        yield note(f"the job ends in {left}; what is finished by then is kept.")


def _job_bytes(environment: Mapping[str, str]) -> int:
    """The memory that the job has on this node; 0 where it does not say."""
    for key, count in (("SLURM_MEM_PER_NODE", "1"), ("SLURM_MEM_PER_CPU", environment.get("SLURM_CPUS_ON_NODE", ""))):
        megabytes = environment.get(key, "")
        if megabytes.isdigit() and count.isdigit():
            return int(megabytes) * int(count) << 20
    return 0


def memory(workers: Workers, limits: Mapping[str, int], *, ours: bool) -> Iterator[Finding]:
    """Whether nodes have the memory that their workers may take: address → the most that a worker may."""
    key = "cluster.memory_bytes" if ours else "`--memory-limit`"
    for host, here in by_host(workers).items():
        there = min(facts.memory_bytes for facts in here.values())
        together = sum(limits[worker] for worker in here)
        if not all(limits[worker] for worker in here):
            yield note(
                f"{host}: workers have no limit of memory, and {there / 1e9:.1f} GB; {key} keeps one from taking all."
            )
        elif together > there * 1.01:
            yield change(
                f"{host}: {counted(len(here), 'worker')} may take {together / 1e9:.1f} GB, and the node grants "
                f"{there / 1e9:.1f}. Set {key} to {there // len(here):,}, or start fewer workers."
            )
        else:
            yield ok(f"{host}: {counted(len(here), 'worker')} may take {together / 1e9:.1f} of {there / 1e9:.1f} GB")


def cores(workers: Workers, threads: int, *, ours: bool) -> Iterator[Finding]:
    """Whether nodes have the cores that their workers' threads use."""
    for host, here in by_host(workers).items():
        given = len(frozenset[int]().union(*(facts.cores for facts in here.values())))
        quota = min((facts.cpu_quota for facts in here.values() if facts.cpu_quota), default=0.0)
        usable = min(given, quota) if quota else given
        wanted = len(here) * threads
        there = "1 core" if usable == 1 else f"{usable:g} cores"
        text = f"{host}: {counted(len(here), 'worker')} of {counted(threads, 'thread')} on {there}"
        if wanted > usable:
            advice = f"cluster.workers={max(1, int(usable // threads))}" if ours else "fewer workers there"
            yield note(f"{text}: they take turns, and none is faster for it; {advice} would do as much.")
        else:
            yield ok(text)


def limits(client: Facts, scheduler: Facts | None, workers: Workers, num_asked: int = 0) -> Iterator[Finding]:
    """Whether the limits of processes (ulimit) leave room for a cluster of this size, or of the size asked for."""
    num_workers = max(1, len(workers), num_asked)
    need = _FILES_A_SCHEDULER + _FILES_A_WORKER * num_workers
    if scheduler or not workers:
        yield from _open_files([scheduler or client], need, f"the scheduler of {counted(num_workers, 'worker')}")
    yield from _open_files(list(workers.values()), _FILES_OF_A_WORKER, "a worker")
    for host, here in by_host(workers).items():
        soft = min(_finite(facts.limits["processes"][0]) for facts in here.values())
        if soft < _PROCESSES_A_WORKER * len(here):
            yield note(
                f"{host}: {soft:,} processes and threads are allowed, and {counted(len(here), 'worker')} with "
                f"libraries may start {_PROCESSES_A_WORKER * len(here):,}; `ulimit -u` raises it."
            )
    everyone = [client, *workers.values()]
    cut = [facts.host for facts in everyone if facts.limits["file size"][0] >= 0]
    if cut:
        yield change(
            f"{named(cut)}: files may not grow beyond a limit, and outputs would be cut; `ulimit -f unlimited`."
        )
    dumping = [facts.host for facts in workers.values() if facts.limits["core size"][0] != 0]
    if dumping:
        yield note(
            f"{named(dumping)}: a worker that crashes writes its memory into a core file; `ulimit -c 0` stops that."
        )
    locked = {_finite(facts.limits["locked memory"][0]) for facts in workers.values() if facts.gpus}
    if locked and min(locked) < 1 << 30:
        yield note(
            f"locked memory is limited to {min(locked):,} bytes on nodes with GPUs; InfiniBand wants "
            "`ulimit -l unlimited`."
        )


def _finite(limit: int) -> int:
    return limit if limit >= 0 else 1 << 62


def _open_files(processes: Sequence[Facts], need: int, whose: str) -> Iterator[Finding]:
    few = [facts for facts in processes if _finite(facts.limits["open files"][0]) < need]
    if few:
        least = min(few, key=lambda facts: _finite(facts.limits["open files"][0]))
        soft, hard = least.limits["open files"]
        way = (
            f"Run `ulimit -n {need}` before starting it."
            if _finite(hard) >= need
            else f"The hard limit is {hard:,}: have it raised (limits.conf, LimitNOFILE, or the container's --ulimit)."
        )
        yield change(
            f"{named(facts.host for facts in few)}: {soft:,} open files, and {whose} needs about {need:,}. {way}"
        )
    elif processes:
        soft = min(_finite(facts.limits["open files"][0]) for facts in processes)
        yield ok(f"open files of {whose}: {soft:,}, needs about {need:,}")


def places(workers: Workers, shard_bytes: int, *, is_remote: bool) -> Iterator[Finding]:
    """Whether /dev/shm and the folder of temporary files are large enough; uploads pass through the latter."""
    for host, here in by_host(workers).items():
        facts = next(iter(here.values()))
        yield _shared_memory(host, facts)
        need = shard_bytes * len(here) if is_remote else 0
        if facts.scratch is None:
            yield change(f"{host}: there is no folder for temporary files. Set TMPDIR to one.")
        elif facts.scratch.free_bytes < need:
            yield change(
                f"{host}: {facts.scratch.path} has {facts.scratch.free_bytes / 1e9:.1f} GB free, and uploads of "
                f"{counted(len(here), 'worker')}, which pass through it, may need {need / 1e9:.1f}. Set TMPDIR to a "
                "larger place."
            )
        else:
            yield ok(f"{host}: {facts.scratch.path} has {facts.scratch.free_bytes / 1e9:.1f} GB free")


def _shared_memory(host: str, facts: Facts) -> Finding:
    shm = facts.shm
    if shm is None or shm.total_bytes <= _SMALL_SHM_BYTES:
        there = "no /dev/shm" if shm is None else f"a /dev/shm of {shm.total_bytes / 1e6:.0f} MB"
        return note(
            f"{host} has {there}; libraries that share memory between processes want more (`docker run --shm-size=8g`)."
        )
    return ok(f"{host}: {shm.path} has {shm.free_bytes / 1e9:.1f} of {shm.total_bytes / 1e9:.1f} GB free")
