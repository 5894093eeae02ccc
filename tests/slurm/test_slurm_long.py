"""The full figures: one run in many allocations of a minute, and twenty kills during another."""

import json
import random
import subprocess

import psutil
import pytest
from run_files import command, contents
from slurm_jobs import corpus_of, end, has_ended, num_scored, said, shown, slurm_says, submit, tables_of, wait_for

pytestmark = [pytest.mark.slurm, pytest.mark.long]

NUM_SHARDS = 2_200
NUM_WORKERS = 4
FILES_OF_A_SHARD = 4  # rows and three scores


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Ten minutes of work and more for four workers on two cores: two hundred shards a minute."""
    return corpus_of(tmp_path_factory.mktemp("large"), NUM_SHARDS, 800)


@pytest.fixture(scope="module")
def large_undisturbed(large, models, tmp_path_factory):
    """What its run directory holds when nothing happens to it."""
    folder = tmp_path_factory.mktemp("large-undisturbed")
    tables = tables_of(large, models, folder / "run") | {"cluster": {"kind": "cpu", "workers": 2}}
    subprocess.run(command(tables, folder / "config.json"), check=True, capture_output=True)
    return contents(folder / "run")


@pytest.fixture
def large_tables(slurm, large, models, tmp_path):  # noqa: ARG001 - it has to be up
    return tables_of(large, models, tmp_path / "run", {"time": "1"})


def events(job):
    """All events of all logs of the run."""
    logs = sorted((job.output / "log").glob("*.jsonl"))
    return [json.loads(line) for log in logs for line in log.read_text().splitlines()]


def num_scored_twice(job):
    """How many shards were scored to their end more often than once."""
    return sum(event["event"] == "scored" for event in events(job)) - NUM_SHARDS


def num_cut(job):
    """How many shards were begun and not ended, by the scratch files that the next run has swept."""
    swept = sum(event["swept"] for event in events(job) if event["event"] == "start")
    return swept / FILES_OF_A_SHARD


@pytest.mark.parametrize("array", [[], ["--array"]], ids=["one allocation", "array"])
def test_allocations_of_a_minute_finish_a_job_with_no_work_lost(
    large_tables, large_undisturbed, tmp_path, array, record_property
):
    job = submit(large_tables, tmp_path, *array)
    assert end(job, wait_s=3600) == ("COMPLETED", "0:0"), said(job)
    num_allocations = 1 + int(shown(job.id)["Restarts"])
    record_property("allocations", num_allocations)
    assert num_allocations >= 10
    assert said(job).count("This job ends in") == num_allocations - 1
    assert (num_cut(job), num_scored_twice(job)) == (0, 0)
    assert contents(job.output) == large_undisturbed


def processes(job, what):
    """The processes of a run on this machine: its drivers, schedulers, or workers."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        if str(job.logs) in line and {"driver": "run_ensemble.py", "scheduler": "dask scheduler"}.get(what, "") in line:
            found.append(process)
    if what != "worker":
        return found
    return [child for each in found for child in each.children() if "spawn_main" in " ".join(child.cmdline())]


def kill(job, what, draw):
    """Kill one of them with SIGKILL, or the whole job."""
    if what == "job":
        subprocess.run(["scancel", job.id], check=True)
        return
    wait_for(lambda: processes(job, what) or has_ended(job))
    for process in draw.sample(processes(job, what), 1):
        process.kill()


def stamps(job):
    """What would change if a committed file was written again."""
    files = (path for path in (job.output / "scores").rglob("*.parquet"))
    return {path: (stat.st_ino, stat.st_mtime_ns) for path in files if (stat := path.stat())}


def disturb(job, what, moment, draw):
    """Kill something when so many shards are committed; gives what was there before, and must stay as it is."""
    wait_for(lambda: num_scored(job) >= moment or has_ended(job), lambda: said(job))
    assert not has_ended(job), said(job)
    committed = stamps(job)
    kill(job, what, draw)
    if what != "worker":
        wait_for(lambda: has_ended(job), lambda: said(job) + slurm_says("squeue"))
    return committed


def test_twenty_kills_cost_nothing_but_time(large_tables, large_undisturbed, tmp_path, record_property):
    large_tables["cluster"]["slurm"]["time"] = "60"
    draw = random.Random(4)
    kills = ["worker", "driver", "scheduler", "job"] * 5
    draw.shuffle(kills)
    moments = sorted(draw.sample(range(5, NUM_SHARDS - 20), len(kills)))
    job, committed = submit(large_tables, tmp_path), {}
    for what, moment in zip(kills, moments, strict=True):
        committed |= disturb(job, what, moment, draw)
        if what != "worker":
            job = submit(large_tables, tmp_path)
    assert end(job) == ("COMPLETED", "0:0"), said(job)
    after = stamps(job)
    record_property("cut", num_cut(job))
    assert num_cut(job) <= sum(1 if what == "worker" else NUM_WORKERS for what in kills)
    assert [path for path, stamp in committed.items() if after[path] != stamp] == []
    assert contents(job.output) == large_undisturbed
