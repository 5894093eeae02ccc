"""A real Slurm of two nodes on this machine, jobs on it, and a corpus that keeps four workers busy for a while."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from run_files import REPOSITORY, SCRIPT, command, contents, documents, tiny_classifiers, write_jsonl

SLURM = Path(__file__).parent / "slurm.sh"
WAIT_S = 600


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """The Slurm; every client finds it by its environment."""
    if missing := [name for name in ("slurmctld", "slurmd", "munged", "sbatch") if shutil.which(name) is None]:
        pytest.skip(f"Slurm is not installed here: no {', '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("Slurm is started as root, and these tests do not run as root")
    folder = tmp_path_factory.mktemp("slurm")
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    subprocess.run([SLURM, "up", folder], check=True)
    yield folder
    subprocess.run([SLURM, "down", folder], check=True)
    del os.environ["SLURM_CONF"]


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Tables of tiny classifiers by name."""
    return tiny_classifiers(tmp_path_factory.mktemp("models"))


def corpus_of(folder, num_files, num_documents):
    """So many files of so many documents and a row without a text."""
    for number in range(num_files):
        rows = [*documents(num_documents, num_documents * number), {"id": "no text"}]
        write_jsonl(folder / f"part-{number:03}.jsonl", rows)
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Sixty files of a hundred documents."""
    return corpus_of(tmp_path_factory.mktemp("corpus"), 60, 100)


def tables_of(corpus, models, output, slurm_table=()):
    """A config that scores a corpus on two nodes of two workers each."""
    return {
        "output": str(output),
        "input": {"path": str(corpus), "carry": ["url"]},
        "classifier": [models["edu"], models["other"], models["keep"]],
        "cluster": {
            "slurm": {"nodes": 2, "workers_per_node": 2, "cpus": 1, "time": "30", "logs": f"{output}-slurm"}
            | dict(slurm_table)
        },
    }


@pytest.fixture
def tables(slurm, corpus, models, tmp_path):  # noqa: ARG001 - it has to be up
    """That config for the usual corpus."""
    return tables_of(corpus, models, tmp_path / "run")


@pytest.fixture(scope="session")
def undisturbed(corpus, models, tmp_path_factory):
    """What its run directory holds when nothing happens to it, on this machine's own cores."""
    folder = tmp_path_factory.mktemp("undisturbed")
    tables = tables_of(corpus, models, folder / "run") | {"cluster": {"kind": "cpu", "workers": 2}}
    subprocess.run(command(tables, folder / "config.json"), check=True, capture_output=True)
    return contents(folder / "run")


def submit(tables, folder, *arguments):
    """Submit a config; gives the number of the job and the folder of its logs."""
    script = str(SCRIPT.with_name("submit.py"))
    path = command(tables, folder / "config.json")[2]
    done = subprocess.run(
        [sys.executable, script, path, *arguments], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    assert done.returncode == 0, done.stdout + done.stderr
    job, logs = re.search(r"submitted: job (\d+); scripts and logs are in (.+)", done.stdout).groups()
    return SimpleNamespace(id=job, logs=Path(logs), output=Path(tables["output"]))


def slurm_says(*command):
    """What a client of Slurm prints."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def shown(job):
    """What Slurm shows of a job, by key."""
    return dict(re.findall(r"(\S+?)=(\S*)", slurm_says("scontrol", "show", "job", job)))


def has_ended(job):
    """Whether a job is over for good."""
    return shown(job.id).get("JobState", "GONE") in {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "GONE", "NODE_FAIL"}


def wait_for(condition, about=lambda: "", wait_s=WAIT_S):
    """Wait for something that jobs bring about."""
    until = time.monotonic() + wait_s
    while not condition():
        assert time.monotonic() < until, about()
        time.sleep(0.1)


def end(job, wait_s=WAIT_S):
    """Wait for the end of a job; gives its state and its exit code."""
    wait_for(lambda: has_ended(job), lambda: said(job) + slurm_says("squeue"), wait_s)
    found = shown(job.id)
    return found.get("JobState"), found.get("ExitCode")


def said(job):
    """All that the driver has printed."""
    return "".join(path.read_text() for path in sorted(job.logs.glob(f"*-{job.id}.out")))


def num_scored(job):
    """The shards that are committed."""
    return sum(path.is_file() for path in (job.output / "rows").rglob("*.parquet"))
