"""A run on a real Slurm has the bytes of one on this machine's own cores, whatever happens to its jobs."""

import subprocess
from types import SimpleNamespace

import pytest
from run_files import command, contents
from slurm_jobs import end, num_scored, said, shown, slurm_says, submit, wait_for

pytestmark = pytest.mark.slurm


def test_one_allocation_of_two_nodes(tables, undisturbed, tmp_path):
    job = submit(tables, tmp_path)
    assert end(job) == ("COMPLETED", "0:0"), said(job)
    assert contents(job.output) == undisturbed


def test_an_array_loses_a_worker_and_gets_another_back(tables, undisturbed, tmp_path):
    job = submit(tables, tmp_path, "--array")
    wait_for(lambda: num_scored(job) >= 5, lambda: said(job))
    workers = str(int(job.id) + 1)
    subprocess.run(["scancel", f"{workers}_0"], check=True)
    subprocess.run(["scontrol", "requeue", f"{workers}_1"], check=True)
    assert end(job) == ("COMPLETED", "0:0"), said(job)
    assert contents(job.output) == undisturbed
    wait_for(lambda: workers not in slurm_says("squeue", "--noheader", "--format=%A"))


@pytest.mark.parametrize("array", [[], ["--array"]], ids=["one allocation", "array"])
def test_a_job_that_is_told_to_stop_is_requeued_and_goes_on(tables, undisturbed, tmp_path, array):
    job = submit(tables, tmp_path, *array)
    wait_for(lambda: num_scored(job) >= 5, lambda: said(job))
    subprocess.run(["scancel", "--signal=USR1", "--batch", job.id], check=True)
    wait_for(lambda: int(shown(job.id).get("Restarts", 0)) == 1, lambda: said(job))
    assert end(job) == ("COMPLETED", "0:0"), said(job)
    assert said(job).count("Asked to stop by SIGUSR1") == 1
    assert contents(job.output) == undisturbed


def test_a_preempted_job_ends_what_it_is_scoring_and_goes_on_later(tables, undisturbed, tmp_path):
    job = submit(tables, tmp_path, "--partition", "main")
    wait_for(lambda: num_scored(job) >= 3, lambda: said(job))
    other = [
        "sbatch",
        "--parsable",
        "--partition=high",
        "--nodes=2",
        "--exclusive",
        "--output=/dev/null",
        "--wrap=true",
    ]
    subprocess.run(other, check=True, capture_output=True)
    wait_for(lambda: int(shown(job.id).get("Restarts", 0)) == 1, lambda: said(job))
    assert end(job) == ("COMPLETED", "0:0"), said(job)
    assert "Asked to stop by SIGTERM" in said(job)
    assert contents(job.output) == undisturbed


def test_the_exit_status_of_the_driver_is_the_jobs(tables, tmp_path):
    tables["input"] |= {"path": str(tmp_path / "corpus")}
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "broken.parquet").write_bytes(b"PAR1 not a Parquet file PAR1")
    (tmp_path / "corpus" / "whole.jsonl").write_text('{"id": "1", "text": "Water boils."}\n')
    job = submit(tables, tmp_path)
    assert end(job) == ("FAILED", "1:0"), said(job)
    assert "failed: broken.parquet: " in said(job)


def test_jobs_of_dask_jobqueue_are_replaced_when_they_end_early(tables, undisturbed, tmp_path):
    tables["cluster"] |= {"kind": "slurm", "workers": 2}
    job = SimpleNamespace(output=tmp_path / "run")
    driver = subprocess.Popen(command(tables, tmp_path / "config.json"), stdout=subprocess.PIPE, text=True)
    wait_for(lambda: num_scored(job) >= 3)
    subprocess.run(["scancel", "--user=root"], check=True)
    said_by_driver, _ = driver.communicate(timeout=600)
    assert driver.returncode == 0, said_by_driver
    assert contents(job.output) == undisturbed
    wait_for(lambda: slurm_says("squeue", "--noheader") == "")
