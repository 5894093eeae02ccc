"""Runs on a Slurm of two nodes, as its user sees them: submitted, shown, ended, read."""

import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from run_files import REPOSITORY, SCRIPT, command, documents, write_jsonl

WAIT_S = 600


def corpus_of(folder, num_files, num_documents):
    """So many files of so many documents and a row without a text."""
    for number in range(num_files):
        rows = [*documents(num_documents, num_documents * number), {"id": "no text"}]
        write_jsonl(folder / f"part-{number:04}.jsonl", rows)
    return folder


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
