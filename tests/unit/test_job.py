"""curation.execution.job: what a run says of the Slurm job that it is in."""

import re

from curation.execution import job
from curation.execution.cluster.slurm import SlurmSpec, exports

IN_A_JOB = {"SLURM_JOB_ID": "77"}
IN_AN_ARRAY = {"SLURM_JOB_ID": "79", "SLURM_ARRAY_JOB_ID": "77", "SLURM_ARRAY_TASK_ID": "3"}


def test_a_job_is_numbered_as_slurms_commands_take_it():
    assert [job.number(each) for each in (IN_A_JOB, IN_AN_ARRAY, {})] == ["77", "77_3", ""]


def test_a_start_says_when_it_is_and_in_which_job():
    when = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}"
    assert re.fullmatch(f"{when}: Slurm's job 77", job.started(IN_A_JOB))
    assert re.fullmatch(f"{when}: Slurm's job 77, start 3", job.started(IN_A_JOB | {"SLURM_RESTART_COUNT": "2"}))


def test_outside_of_slurm_a_start_says_nothing():
    assert job.started({}) == ""


def test_a_run_in_a_job_that_comes_back_says_that_it_goes_on_by_itself():
    exported = dict(line.removeprefix("export ").split("=", 1) for line in exports(1) if line.startswith("export "))
    assert job.how_it_goes_on(IN_A_JOB | exported) == (
        "Slurm starts job 77 again after a while, which goes on, unless it was cancelled."
    )


def test_a_run_in_any_other_job_says_that_it_has_to_be_run_again():
    lines = SlurmSpec().jobqueue(0, 1)["job_script_prologue"]
    exported = dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
    assert job.how_it_goes_on(IN_A_JOB | exported) == "Run the same command again to go on."
