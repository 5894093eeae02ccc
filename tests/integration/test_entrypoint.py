"""What the images run, as processes of this machine: a scheduler, two workers, drivers."""

import json
import os
import signal
import subprocess
import sys
from http import HTTPStatus
from pathlib import Path
from urllib.request import urlopen

import pytest
from run_files import REPOSITORY, documents, wait_until, write_jsonl

ENTRYPOINT = REPOSITORY / "docker" / "entrypoint.sh"


def start(folder, *arguments, **environ):
    """The entrypoint with these arguments, in `folder` (an image's is always /), with what an image sets."""
    paths = [str(Path(sys.executable).parent), os.environ["PATH"]]
    inherited = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    image = {"PATH": os.pathsep.join(paths), "CURATION_HOME": str(REPOSITORY), "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        [ENTRYPOINT, *map(str, arguments)],
        cwd=folder,
        env=inherited | image | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A folder, and the variable that names a scheduler with two workers there, which all end by SIGTERM with 0."""
    folder = tmp_path_factory.mktemp("cluster")
    file = folder / "scheduler.json"
    first = start(folder, "scheduler", "--port", 0, "--dashboard-address", ":0", "--scheduler-file", file)
    wait_until(lambda: file.exists() and file.stat().st_size)
    identity = json.loads(file.read_text())
    assert urlopen(f"http://localhost:{identity['services']['dashboard']}/health").status == HTTPStatus.OK
    named = {"DASK_SCHEDULER_ADDRESS": identity["address"]}
    processes = [start(folder, "worker", **named), start(folder, "worker", **named), first]
    yield folder, named
    for process in processes:
        process.send_signal(signal.SIGTERM)
    texts = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], texts


def test_a_driver_scores_the_embedded_documents_on_two_workers(cluster):
    folder, scheduler = cluster
    driver = start(folder, "driver", **scheduler)
    text = driver.communicate(timeout=300)[0]
    assert driver.returncode == 0, text
    assert "medium-high" in text
    assert "rows: 182 read = 175 ok + 2 blank + 0 not selected + 5 quarantined" in text
    assert (folder / "runs" / "embedded" / "tierings" / "default" / "tiers").is_dir()


def test_a_driver_that_is_told_to_stop_exits_with_75_and_the_run_can_go_on(cluster, corpus, models, tmp_path):
    _, scheduler = cluster
    for number in range(60):
        write_jsonl(corpus / f"part-{number:02}.jsonl", documents(60, 60 * number))
    tables = {"input": {"path": str(corpus)}, "classifier": [models["edu"], models["keep"]], "cluster": {"workers": 1}}
    config = tmp_path / "config.json"
    config.write_text(json.dumps(tables | {"output": str(tmp_path / "run")}))

    driver = start(tmp_path, "driver", config, **scheduler)
    wait_until((tmp_path / "run" / "rows").exists)
    driver.send_signal(signal.SIGTERM)
    text = driver.communicate(timeout=120)[0]
    assert driver.returncode == 75, text

    again = start(tmp_path, "driver", config, **scheduler)
    text = again.communicate(timeout=300)[0]
    assert again.returncode == 0, text
    assert "rows: 3,600 read = 3,600 ok" in text


def test_a_driver_without_a_scheduler_takes_the_cluster_of_its_config(tmp_path):
    driver = start(tmp_path, "driver", "cluster.workers=-1", "--plan")
    text = driver.communicate(timeout=120)[0]
    assert (driver.returncode, "cluster.workers: -1 is below 0" in text) == (2, True), text


@pytest.mark.parametrize(
    ("arguments", "environ", "message"),
    [
        (["server"], {}, "There is no role 'server'; start scheduler, worker or driver.\n"),
        ([], {}, "There is no role ''; start scheduler, worker or driver.\n"),
        (["worker"], {"CURATION_DEVICE": "tpu"}, "CURATION_DEVICE is 'tpu'; write cpu or cuda.\n"),
    ],
)
def test_what_cannot_be_started_is_said(arguments, environ, message, tmp_path):
    process = start(tmp_path, *arguments, **environ)
    assert (process.communicate(timeout=60)[0], process.returncode) == (message, 2)
