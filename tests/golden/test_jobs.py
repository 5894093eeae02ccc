"""The scripts that Slurm gets, word by word."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from curation import config
from curation.execution.cluster.jobs import CONFIG, DRIVER, Place, render, submission
from curation.execution.cluster.slurm import exports
from curation.execution.spec import KINDS, RunSpec, read

PLACE = Place("/venv/bin/python", "/repository", "/work")
SHELLCHECK = Path(sys.executable).with_name("shellcheck")  # of the test extra
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
    for name, text in render(job_of(case), array=array).items():
        if name != CONFIG:
            (tmp_path / name).write_text(text)
            done = subprocess.run([SHELLCHECK, tmp_path / name], capture_output=True, text=True, check=False)
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


def submit(folder, *settings, **more):
    """The script as a dry run, called in a folder."""
    script = Path(__file__).parents[2] / "pipelines" / "submit.py"
    command = [sys.executable, script, EMBEDDED, *settings, "--dry-run"]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, **more)


def test_a_job_finds_the_scripts_of_this_repository(tmp_path):
    done = submit(tmp_path, f"output={tmp_path}/run")
    (line,) = (line for line in done.stdout.splitlines() if "run_ensemble.py" in line)
    assert Path(line.split()[1]).is_file()
    assert not (tmp_path / "run-slurm").exists()


def test_every_submission_has_a_folder_of_its_own(tmp_path):
    spec = read(EMBEDDED, [f"output={tmp_path}/run"])
    first = submission(spec, "", PLACE).folder
    Path(first).mkdir(parents=True)
    assert (first, submission(spec, "", PLACE).folder) == (f"{tmp_path}/run-slurm/1", f"{tmp_path}/run-slurm/2")


def mistakes(*settings):
    return submission(read(EMBEDDED, settings), "", PLACE).mistakes()


def test_all_mistakes_are_told_together_and_nothing_is_submitted(tmp_path):
    wrong = ["output=memory://bucket/run", "cluster.slurm.time=soon", "scoring.device=cuda", "input.path=/nowhere/x"]
    done = submit(tmp_path, *wrong, "max_failures=0")
    assert (done.returncode, done.stdout) == (2, "")
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == [
        "scoring.device",
        "cluster.slurm.time",
        "output",
        "max_failures",
        "[input] path",
    ]


def test_what_the_device_of_a_job_cannot_do_is_told_once(tmp_path):
    done = submit(tmp_path, f"output={tmp_path}/run", "scoring.compiled=true", "input.path=/nowhere/x")
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["scoring.compiled", "[input] path"]


def test_a_container_that_would_not_see_the_output_is_a_mistake():
    assert mistakes("output=/shared/runs/crawl", "input.path=/data/in", "cluster.slurm.container=a.sqsh") == [
        "cluster.slurm.mounts: the container would not see /shared/runs/crawl; mount its folder.",
        "cluster.slurm.mounts: the container would not see /data/in; mount its folder.",
    ]


def test_a_path_with_its_protocol_is_one_that_a_container_must_see():
    (mistake,) = mistakes("output=file:///shared/run", "cluster.slurm.container=a.sqsh")[:1]
    assert mistake == "cluster.slurm.mounts: the container would not see /shared/run; mount its folder."


def test_a_job_that_could_not_come_back_is_a_mistake():
    (mistake,) = mistakes("output=/shared/run", "cluster.slurm.directives=['--no-requeue']")
    assert mistake.startswith("cluster.slurm.directives: with --no-requeue a run ends for good")


def test_paths_of_a_container_are_absolute():
    found = mistakes("output=runs/x", "input.path=~/in", "tokens.count_tokenizer=t", "cluster.slurm.container=a.sqsh")
    assert [each.partition(" lies elsewhere in a container")[0] for each in found] == [
        "output: runs/x",
        "[input] path: ~/in",
        "tokens.count_tokenizer: t",
    ]


def test_a_folder_that_cannot_be_mounted_must_be_another():
    settings = ["output=/shared/a:b", "cluster.slurm.container=a.sqsh", "cluster.slurm.mounts=['/shared']"]
    (mistake,) = mistakes(*settings)
    assert mistake.startswith("output: /shared/a:b-slurm/1 holds a colon or a comma, where a mount ends")


@pytest.mark.parametrize(
    ("answer", "noted"),
    [
        ("echo '  --container-image=[USER@][REGISTRY#]IMAGE'", False),
        ("echo '  --nodes=N'", True),
        ("echo '  --nodes=N'; exit 1", False),
    ],
    ids=["with pyxis", "without", "no answer"],
)
def test_a_slurm_without_pyxis_is_noted(tmp_path, answer, noted):
    (tmp_path / "srun").write_text(f"#!/bin/sh\n{answer}\n")
    (tmp_path / "srun").chmod(0o755)
    settings = [f"output={tmp_path}/run", "cluster.slurm.container=a.sqsh", f"cluster.slurm.mounts=['{tmp_path}']"]
    done = submit(tmp_path, *settings, "workers=0", env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert done.returncode == 0, done.stderr
    assert ("note: cluster.slurm.runtime: srun here has no --container-image" in done.stderr) is noted


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
