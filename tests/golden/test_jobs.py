"""The scripts that Slurm gets, word by word."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from curation import config
from curation.core.errors import ConfigError
from curation.execution.cluster.jobs import CONFIG, DRIVER, Place, render, submission
from curation.execution.cluster.slurm import exports
from curation.execution.spec import KINDS, RunSpec, read

PLACE = Place("/venv/bin/python", "/repository", "/work")
EMBEDDED = Path(__file__).parents[2] / "configs" / "embedded.toml"

CASES = {
    "cpu": ["cluster.slurm.nodes=2", "cluster.slurm.workers_per_node=4", "cluster.memory_bytes=4GiB"],
    "gpu": [
        "cluster.slurm.partition=gpu",
        "cluster.slurm.account=abc",
        "cluster.slurm.nodes=2",
        "cluster.slurm.workers_per_node=8",
        "cluster.slurm.gpus=1",
        "cluster.slurm.cpus=6",
        "cluster.slurm.interface=ib0",
        "cluster.slurm.setup=['module load cuda']",
        "cluster.slurm.directives=['--qos=low']",
    ],
    "pyxis": [
        "cluster.slurm.gpus=1",
        "cluster.slurm.container=/images/c.sqsh",
        "cluster.slurm.mounts=['/shared']",
    ],
    "apptainer": [
        "cluster.slurm.gpus=1",
        "cluster.slurm.container=/images/curation 2.sif",
        "cluster.slurm.runtime=apptainer",
        "cluster.slurm.mounts=['/lustre/data:/data', '/shared']",
    ],
}


def job_of(case):
    spec = read(EMBEDDED, ["output=/shared/runs/crawl", "workers=0", "cluster.slurm.time=4:00:00", *CASES[case]])
    return submission(spec, "", PLACE)


@pytest.mark.parametrize("array", [False, True], ids=["allocation", "array"])
@pytest.mark.parametrize("case", CASES)
def test_scripts_are(golden, case, array):
    files = render(job_of(case), array=array)
    scripts = "\n".join(f"== {name}\n{text}" for name, text in files.items() if name != CONFIG)
    name = f"jobs_{case}_{'array' if array else 'allocation'}.txt"
    assert scripts == golden(name, scripts)


@pytest.mark.parametrize("array", [False, True], ids=["allocation", "array"])
@pytest.mark.parametrize("case", CASES)
def test_scripts_are_clean_by_shellcheck(case, array, tmp_path):
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed here")
    for name, text in render(job_of(case), array=array).items():
        if name != CONFIG:
            (tmp_path / name).write_text(text)
            done = subprocess.run(["shellcheck", tmp_path / name], capture_output=True, text=True, check=False)
            assert done.stdout == ""


def test_the_config_of_a_job_is_the_run_on_the_scheduler_of_the_job(tmp_path):
    job = job_of("gpu")
    path = tmp_path / CONFIG
    path.write_text(render(job, array=False)[CONFIG])
    (tmp_path / "scheduler.json").write_text("{}")
    spec = config.parse(RunSpec, config.load(path), [f"cluster.scheduler_file={tmp_path}/scheduler.json"], KINDS)
    assert (spec.cluster.kind, spec.scoring.device, spec.cluster.patience_s) == ("existing", "cuda", 4 * 3600)
    assert (spec.input, spec.classifier, spec.output) == (job.spec.input, job.spec.classifier, job.spec.output)
    assert spec.mistakes() == []


def test_a_job_finds_the_scripts_of_this_repository(tmp_path):
    script = Path(__file__).parents[2] / "pipelines" / "submit.py"
    command = [sys.executable, script, EMBEDDED, f"output={tmp_path}/run", "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    (line,) = (line for line in done.stdout.splitlines() if "run_ensemble.py" in line)
    assert Path(line.split()[1]).is_file()
    assert not (tmp_path / "run-slurm").exists()


def test_every_submission_has_a_folder_of_its_own(tmp_path):
    spec = read(EMBEDDED, [f"output={tmp_path}/run"])
    first = submission(spec, "", PLACE).folder
    Path(first).mkdir(parents=True)
    assert (first, submission(spec, "", PLACE).folder) == (f"{tmp_path}/run-slurm/1", f"{tmp_path}/run-slurm/2")


def test_all_mistakes_are_found_before_anything_is_submitted():
    spec = read(EMBEDDED, ["output=s3://bucket/run", "cluster.slurm.time=soon", "scoring.device=cuda"])
    with pytest.raises(ConfigError) as caught:
        submission(spec, "", PLACE)
    assert [mistake.partition(":")[0] for mistake in caught.value.mistakes] == [
        "scoring.device",
        "cluster.slurm.time",
        "output",
    ]


def test_a_container_that_would_not_see_the_output_is_a_mistake():
    spec = read(EMBEDDED, ["output=/shared/runs/crawl", "input.path=/data/in", "cluster.slurm.container=a.sqsh"])
    with pytest.raises(ConfigError) as caught:
        submission(spec, "", PLACE)
    assert list(caught.value.mistakes) == [
        "cluster.slurm.mounts: the container would not see /shared/runs/crawl; mount its folder.",
        "cluster.slurm.mounts: the container would not see /data/in; mount its folder.",
    ]


def test_settings_of_workers_that_a_submission_does_not_heed_are_noted():
    (note,) = submission(read(EMBEDDED, ["output=/shared/run", "workers=64"]), "", PLACE).notes
    assert note.startswith("cluster.workers: has no effect on a submission")


def shell_of(tmp_path, squeue):
    """The lines that a job begins with, where Slurm's squeue is this script; gives what the job takes for its end."""
    (tmp_path / "squeue").write_text(f"#!/bin/sh\n{squeue}\n")
    (tmp_path / "squeue").chmod(0o755)
    script = "\n".join([*exports(1), "set -eu", 'echo "end: ${SLURM_JOB_END_TIME:-}"'])
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "1", "TZ": "UTC"}
    return subprocess.run(["bash", "-c", script], env=environ, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("squeue", "end"),
    [("echo 2026-11-21T20:50:03", "1795294203"), ("exit 1", ""), ("echo NONE", ""), ("true", "")],
)
def test_a_job_asks_slurm_when_it_ends_and_takes_no_answer_for_none(tmp_path, squeue, end):
    assert shell_of(tmp_path, squeue) == f"end: {end}\n"


def test_the_driver_is_the_one_to_submit():
    assert list(render(job_of("cpu"), array=True)) == [CONFIG, DRIVER, "workers.sh"]
