"""A scheduler that is lost is one clear error, whenever it is lost and whatever the client does then."""

import signal
import subprocess
import sys

import pytest
from run_files import wait_until

from curation.core.errors import ClusterError
from curation.execution.cluster import existing
from curation.execution.cluster.connect import connect
from curation.execution.cluster.roll import Roll
from curation.execution.cluster.scheduler import workers_of
from curation.execution.cluster.spec import ClusterSpec
from curation.execution.window import on_each_worker, run_window
from curation.inference.replica import ScoringSpec

LOST = "^The scheduler was lost, and with it what was running"


@pytest.fixture
def scheduler(tmp_path):
    """A scheduler that is a process of its own, and the config that names it."""
    file = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "dask", "scheduler", "--scheduler-file", file, "--port", "0", "--no-dashboard"]
    process = subprocess.Popen(dask, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: file.exists() and file.stat().st_size)
    yield process, ClusterSpec(kind="existing", scheduler_file=str(file))
    process.kill()
    process.wait()


@pytest.fixture
def client(scheduler):
    """A client of it, though it has no worker."""
    process, spec = scheduler
    with existing.existing(spec) as client:
        yield process, client


@pytest.mark.parametrize(
    "use",
    [
        workers_of,
        lambda client: list(run_window(client, abs, [1])),
        lambda client: on_each_worker(client, abs, 1),
        lambda client: Roll(client, "cuda").call(),
    ],
    ids=["workers_of", "run_window", "on_each_worker", "Roll"],
)
@pytest.mark.parametrize("status", ["connecting", "closed"])
def test_whatever_is_asked_of_a_client_whose_scheduler_is_gone_is_one_error(client, status, use):
    process, client = client
    client._timeout = 60 if status == "connecting" else 0.1
    process.kill()
    wait_until(lambda: client.status == status)
    with pytest.raises(ClusterError, match=LOST):
        use(client)


def test_a_client_tries_for_a_minute_to_reach_what_it_lost(client):
    assert client[1]._timeout == 60


def test_a_scheduler_that_is_lost_before_the_first_worker_is_one_error(scheduler):
    process, spec = scheduler

    def kill():
        process.send_signal(signal.SIGKILL)
        return False

    with pytest.raises(ClusterError, match=LOST), connect(spec, ScoringSpec(), kill):
        pass
