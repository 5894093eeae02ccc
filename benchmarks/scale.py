"""What a run costs that is not scoring: very many tiny shards through the runner. Prints JSON.

Writes files of one or two short documents in nested folders, and runs all of `pipelines/run_ensemble.py` over them on a
LocalCluster of two workers, with a classifier that computes nothing: find, plan, score and commit, audit, calibrate,
tier, report. Then the same once more, when all is done. Each run is a process of its own, so that its peak of memory
is its own; the driver's holds the scheduler. What a shard adds to it is taken between two sizes. Seconds are those of
the clock, and of the processors in all processes together, which depend less on what else the machine does.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from hashed import Hashed
from numpy.typing import NDArray
from rich.console import Console

from curation.data.inputs import InputSpec
from curation.execution import forming, lock, run
from curation.execution.cluster.spec import ClusterSpec
from curation.execution.plan import make_plan
from curation.execution.spec import RunSpec
from curation.execution.summary import Summary

Spent = dict[str, NDArray[np.float64]]

NUM_WORKERS = 2
FILES_PER_FOLDER = 100
LOOK_EVERY_S = 0.2
PHASES: dict[str, tuple[Any, str]] = {
    "score": (run._Run, "_score"),  # noqa: SLF001 - what the report of a run does not tell
    "read records": (run, "read_records"),
    "audit": (run, "audit"),
    "calibrate": (forming, "calibrate"),
    "tier": (run._Run, "_tier"),  # noqa: SLF001
    "report": (Summary, "write"),
}
"""Parts of a run that are timed, each without those within it."""


def write_documents(folder: Path, num_files: int) -> None:
    """Files of one or two short documents, a hundred in a folder."""
    for number in range(num_files):
        place = folder / f"dump-{number // FILES_PER_FOLDER**2:02}" / f"segment-{number // FILES_PER_FOLDER:05}"
        if number % FILES_PER_FOLDER == 0:
            place.mkdir(parents=True)
        rows = ({"id": f"{number}-{row}", "text": f"Page {number}, part {row}."} for row in range(1 + number % 2))
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (place / f"part-{number:06}.jsonl").write_text(text, encoding="utf-8")


def measure_run(folder: Path) -> dict[str, Any]:
    """Plan and run in this process; seconds by phase, peaks of memory, what the scheduler still holds at the end."""
    spec = RunSpec(
        str(folder / "run"),
        InputSpec(path=(str(folder / "documents"),)),
        (Hashed(),),
        cluster=ClusterSpec(kind="cpu", workers=NUM_WORKERS),
    )
    spent: Spent = defaultdict(lambda: np.zeros(2))
    state: dict[str, int] = {}
    for phase, (owner, name) in PHASES.items():
        setattr(owner, name, timed(phase, getattr(owner, name), spent))
    carry_out = run._Run.carry_out  # noqa: SLF001

    def carry_out_and_look(self: Any) -> int:
        code = carry_out(self)
        state.update(self.client.run_on_scheduler(scheduler_state))
        return code

    run._Run.carry_out = carry_out_and_look  # type: ignore[method-assign] # noqa: SLF001
    said = StringIO()
    console = Console(file=said, width=200)
    with workers_peak_mb() as peaks:
        start = clock()
        plan = make_plan(spec)
        plan.say(console)
        spent["find and plan"] = clock() - start
        planned_mb = peak_mb(os.getpid())
        with lock.hold(plan.layout.lock_json):
            code = run.run(plan, console)
        whole_s = clock()[0] - start[0]
    assert code == run.RECONCILED, said.getvalue()
    seconds = {phase: round(float(wall), 2) for phase, (wall, _) in spent.items()}
    return {
        "whole_s": round(float(whole_s), 2),
        "seconds": seconds | {"start, end and the rest": round(whole_s - sum(seconds.values()), 2)},
        "cpu_seconds": {phase: round(float(cpu), 2) for phase, (_, cpu) in spent.items()},
        "scored_shards_per_s": round(len(plan.missing.tasks) / seconds["score"], 1) if plan.missing.tasks else None,
        "driver_peak_mb": peak_mb(os.getpid()),
        "driver_peak_mb_after_planning": planned_mb,
        "workers_peak_mb": sorted(peaks.values()),
        "scheduler": state,
    }


def clock() -> NDArray[np.float64]:
    """Now, and the seconds that this process and its workers have computed."""
    processes = [psutil.Process(), *psutil.Process().children()]
    return np.array([time.perf_counter(), sum(sum(process.cpu_times()[:2]) for process in processes)])


def timed(phase: str, function: Callable[..., Any], spent: Spent) -> Callable[..., Any]:
    """The same function, whose time counts for `phase` and no more for the phase around it."""

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        before, start = sum(spent.values()), clock()
        try:
            return function(*arguments, **named)
        finally:
            within = sum(spent.values()) - before
            spent[phase] = spent[phase] + clock() - start - within

    return call


def scheduler_state(dask_scheduler: Any) -> dict[str, int]:
    """How many things of each kind a scheduler holds that could grow with what it has done."""
    return {
        "tasks": len(dask_scheduler.tasks),
        "task_groups": len(dask_scheduler.task_groups),
        "task_prefixes": len(dask_scheduler.task_prefixes),
        "transition_log": len(dask_scheduler.transition_log),
        "transitions": dask_scheduler.transition_counter,
    }


@contextmanager
def workers_peak_mb() -> Iterator[dict[int, int]]:
    """The peak of memory of each process that runs tasks for this one, by its number, while the block runs."""
    peaks: dict[int, int] = {}
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(LOOK_EVERY_S):
            for process in psutil.Process().children():
                try:
                    if any("spawn_main" in word for word in process.cmdline()):
                        peaks[process.pid] = peak_mb(process.pid)
                except (psutil.NoSuchProcess, OSError, StopIteration):
                    continue

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield peaks
    finally:
        stop.set()
        watcher.join()


def peak_mb(pid: int) -> int:
    """The most memory that a process has had; of the system itself, as a child of `fork` begins with its parent's."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6)


def measure(num_shards: int, place: str | None) -> dict[str, Any]:
    """A run over so many shards, and the same again."""
    with tempfile.TemporaryDirectory(dir=place) as name:
        write_documents(Path(name) / "documents", num_shards)
        once, again = (in_a_process(name) for _ in range(2))
    return {
        "num_shards": num_shards,
        "shards_per_s": round(num_shards / once["whole_s"], 1),
        "run": once,
        "again": again,
    }


def in_a_process(folder: str) -> dict[str, Any]:
    """What `measure_run` gives in a process of its own."""
    command = [sys.executable, __file__, "--folder", folder]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> None:
    """Measure every size, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("num_shards", nargs="*", type=int, default=[1_000, 10_000, 100_000])
    parser.add_argument("--place", help="where the temporary folder is made; the default is that of the system")
    parser.add_argument("--folder", help="run once over the documents in this folder, and nothing else")
    arguments = parser.parse_args()
    if arguments.folder:
        print(json.dumps(measure_run(Path(arguments.folder))))
        return
    sizes = [measure(num_shards, arguments.place) for num_shards in arguments.num_shards]
    growth = [
        round(
            (large["run"]["driver_peak_mb"] - small["run"]["driver_peak_mb"])
            * 1e6
            / (large["num_shards"] - small["num_shards"])
        )
        for small, large in pairwise(sizes)
    ]
    print(json.dumps({"sizes": sizes, "driver_bytes_per_shard": growth}, indent=1))


if __name__ == "__main__":
    main()
