"""The same run on a scheduler that somebody else started, and what is said when it goes away."""

import json
import signal
import subprocess
import sys
import time

import pytest
from distributed import LocalCluster
from run_files import command, contents, documents, execute, wait_until, write_jsonl

from curation.core.errors import ClusterError
from curation.execution import run
from curation.execution.cluster.connect import connect
from curation.execution.cluster.spec import ClusterSpec
from curation.execution.cluster.worker import PRELOAD
from curation.execution.walltime import ENDS
from curation.inference.replica import ScoringSpec


@pytest.fixture
def scheduler_file(tmp_path):
    """The file of a scheduler with one worker, each a process of its own; the scheduler is the first of `processes`."""
    file = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = subprocess.Popen(
        [*dask, "scheduler", "--scheduler-file", file, "--port", "0", "--dashboard-address", ":0"], **quiet
    )
    worker = subprocess.Popen(
        [*dask, "worker", "--scheduler-file", file, "--nthreads", "1", "--no-dashboard", "--no-nanny"], **quiet
    )
    yield file, scheduler
    for process in (worker, scheduler):
        process.kill()
        process.wait()


def test_by_address_by_scheduler_file_and_on_cores_of_its_own_a_run_writes_the_same_files(
    tables, scheduler_file, tmp_path
):
    file, _ = scheduler_file
    wait_until(file.exists)
    places = {
        "address": tables["cluster"],
        "file": {"kind": "existing", "scheduler_file": str(file)},
        "cores": {"kind": "cpu", "workers": 1},
    }
    runs = {
        name: execute(tables | {"output": str(tmp_path / name), "cluster": place}) for name, place in places.items()
    }
    assert [run.code for run in runs.values()] == [0, 0, 0]
    by_address = contents(runs["address"].folder)
    assert [contents(run.folder) == by_address for run in runs.values()] == [True, True, True]


def test_a_lost_scheduler_is_one_clear_message_and_the_run_can_go_on(tables, corpus, scheduler_file, tmp_path):
    for number in range(60):
        write_jsonl(corpus / f"part-{number:02}.jsonl", documents(60, 60 * number))
    file, scheduler = scheduler_file
    wait_until(file.exists)
    lost = tables | {"cluster": {"kind": "existing", "scheduler_file": str(file)}}
    process = subprocess.Popen(
        command(lost, tmp_path / "config.json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_until((tmp_path / "run" / "rows").exists)
    scheduler.kill()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, out + err
    assert "The scheduler was lost" in out + err
    assert "Traceback" not in out + err
    assert execute(tables).code == 0


def test_a_scheduler_file_that_is_not_there_is_a_mistake_of_the_plan(tmp_path):
    spec = ClusterSpec(kind="existing", scheduler_file=str(tmp_path / "none.json"))
    assert spec.mistakes() == [f"cluster.scheduler_file: {tmp_path}/none.json does not exist; is the scheduler up?"]


@pytest.mark.parametrize("settings", [{}, {"address": "tcp://a:1", "scheduler_file": "/dev/null"}])
def test_an_existing_cluster_is_named_once(settings):
    (mistake,) = ClusterSpec(kind="existing", **settings).mistakes()
    assert mistake == "cluster: an existing cluster is named by its address or by its scheduler_file, one of them."


def test_a_scheduler_without_workers_is_not_waited_for_forever(tmp_path):

    with LocalCluster(n_workers=0, dashboard_address=":0") as cluster:
        file = tmp_path / "scheduler.json"
        file.write_text(json.dumps(cluster.scheduler.identity()))
        spec = ClusterSpec(kind="existing", scheduler_file=str(file), wait_s=1)
        with pytest.raises(ClusterError, match="has had no worker"), connect(spec, ScoringSpec()):
            pass


def test_workers_that_run_two_tasks_at_a_time_are_refused():
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0") as cluster:
        spec = ClusterSpec(kind="existing", address=cluster.scheduler_address)
        with pytest.raises(ClusterError, match="run 2 tasks at a time; one is right"), connect(spec, ScoringSpec()):
            pass


def test_a_worker_that_is_told_twice_to_leave_and_loses_its_scheduler_leaves_once_and_in_peace(tmp_path):
    file, log = tmp_path / "scheduler.json", tmp_path / "worker.log"
    dask = [sys.executable, "-m", "dask"]
    scheduler = subprocess.Popen(
        [*dask, "scheduler", "--scheduler-file", file, "--port", "0", "--dashboard-address", ":0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(file.exists)
    with log.open("wb") as out:
        worker = subprocess.Popen(
            [*dask, "worker", "--scheduler-file", file, "--nthreads", "1", "--no-nanny", "--preload", PRELOAD],
            stderr=out,
        )
    try:
        wait_until(lambda: "Starting established connection" in log.read_text())
        scheduler.send_signal(signal.SIGSTOP)
        worker.send_signal(signal.SIGTERM)
        worker.send_signal(signal.SIGUSR1)  # as a nanny passes on what Slurm sends to all
        wait_until(lambda: "Closing worker gracefully" in log.read_text())
        scheduler.kill()
        assert worker.wait(timeout=60) == 0
        assert log.read_text().count("Closing worker gracefully") == 1
        assert "Traceback" not in log.read_text()
    finally:
        for process in (worker, scheduler):
            process.kill()
            process.wait()


@pytest.mark.parametrize(
    ("num_workers", "code", "said"),
    [(0, 75, "No worker has come in all the time of this run."), (1, 1, "This job ends before anything is done.")],
)
def test_a_job_that_ends_first_goes_on_where_that_can_help(tables, monkeypatch, num_workers, code, said):
    with LocalCluster(n_workers=num_workers, threads_per_worker=1, dashboard_address=":0") as cluster:
        monkeypatch.setenv(ENDS, str(time.time() + 7))  # two seconds, as the last five are for the end
        monkeypatch.setattr(run, "settle", until_over)
        done = execute(tables | {"cluster": {"kind": "existing", "address": cluster.scheduler_address}})
    assert (done.code, said in done.text) == (code, True), done.text


def until_over(plan, _client, _console, stopping):
    """Measuring before the first shard, which takes all the time there is."""
    wait_until(stopping)
    return plan
