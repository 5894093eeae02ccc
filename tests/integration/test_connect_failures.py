"""Clusters that cannot be had say so at once, in words."""

import asyncio
import json
import os
import signal
import socket
import threading

import dask
import pytest
from run_files import execute

from curation.core.errors import ClusterError
from curation.execution.cluster import existing, jobqueue
from curation.execution.cluster.connect import connect
from curation.execution.cluster.spec import ClusterSpec
from curation.inference.replica import ScoringSpec


def refusal(**settings):
    """What is said of a cluster that cannot be had."""
    with pytest.raises(ClusterError) as raised, connect(ClusterSpec(**settings), ScoringSpec(), reach_s=1):
        pass
    return str(raised.value)


@pytest.fixture
def bin_folder(tmp_path, monkeypatch):
    """A folder that is all of PATH, where one may put an sbatch of one's own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def write_sbatch(folder, *lines):
    script = folder / "sbatch"
    script.write_text("".join(f"{line}\n" for line in ("#!/bin/sh", *lines)))
    script.chmod(0o755)


def test_what_sbatch_says_to_a_job_that_it_refuses_is_quoted(bin_folder):
    write_sbatch(bin_folder, "echo 'sbatch: error: invalid partition specified: nope' >&2", "exit 1")
    assert refusal(kind="slurm", workers=2) == (
        "Slurm refuses a job: sbatch: error: invalid partition specified: nope. Correct [cluster.slurm]."
    )


@pytest.mark.usefixtures("bin_folder")
def test_a_machine_without_sbatch_is_told_where_to_run():
    assert refusal(kind="slurm") == (
        "sbatch cannot be run here (No such file or directory). Run this on a login node of Slurm, or choose another "
        "cluster.kind."
    )


def test_a_job_that_was_refused_is_asked_for_again_until_slurm_takes_it(bin_folder, monkeypatch, caplog):
    monkeypatch.setattr(jobqueue, "_AGAIN_S", 0)
    told = bin_folder / "told"
    write_sbatch(
        bin_folder,
        f"echo again >> {told}",
        "n=0; while read -r _; do n=$((n + 1)); done < " + str(told),
        '[ "$n" -gt 3 ] && echo "Submitted batch job 77" && exit 0',
        "echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2; exit 1",
    )

    async def asked_for():
        job = jobqueue.Job("tcp://scheduler:1", name="a", cores=1, memory="1 GB")
        await job
        first = job.refusal
        await job._asking
        return first, job.refusal, job.job_id

    assert asyncio.run(asked_for()) == (
        "Slurm refuses a job: sbatch: error: QOSMaxSubmitJobPerUserLimit. Correct [cluster.slurm].",
        "",
        "77",
    )
    assert caplog.text.count("It is asked for again every") == 1


def test_an_unknown_host_is_not_waited_for():
    said = refusal(kind="existing", address="tcp://no-such-host.invalid:8786")
    assert said.startswith("cluster.address: tcp://no-such-host.invalid:8786: no such host (")


def test_an_address_without_a_port_is_not_waited_for():
    assert refusal(kind="existing", address="tcp://here") == (
        "cluster.address: tcp://here: missing port number in address 'here'. Write it as tcp://host:port, or "
        "as tls://host:port with the certificates named in Dask's configuration (distributed.comm.tls)."
    )


@pytest.fixture
def impatient(monkeypatch):
    """Schedulers are tried for a second."""
    monkeypatch.setattr(existing, "SOON_S", 0.5)


@pytest.fixture
def port():
    """One that nobody listens at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.usefixtures("impatient")
def test_a_closed_port_is_told_at_once_and_then_what_was_tried(port, capsys):
    said = refusal(kind="existing", address=f"tcp://127.0.0.1:{port}")
    assert said == (
        f"No scheduler answers at tcp://127.0.0.1:{port} ([Errno 111] Connection refused; tried for 1 s). Look whether "
        "it runs, at which address its log says that it listens, and whether a firewall lies between; then start it or "
        "correct cluster.address."
    )
    assert capsys.readouterr().err == f"tcp://127.0.0.1:{port}: [Errno 111] Connection refused; trying for 1 s.\n"


@pytest.mark.usefixtures("impatient")
def test_a_scheduler_file_that_has_outlived_its_scheduler_is_told_as_that(port, tmp_path):
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"address": f"tcp://127.0.0.1:{port}"}))
    said = refusal(kind="existing", scheduler_file=str(file))
    assert said.startswith(f"No scheduler answers at tcp://127.0.0.1:{port}, which {file} names ([Errno 111]")
    assert "A scheduler that was killed leaves its file behind" in said


def test_a_file_that_no_scheduler_wrote_is_told_as_that(tmp_path):
    (tmp_path / "scheduler.json").write_text("{")
    said = refusal(kind="existing", scheduler_file=str(tmp_path / "scheduler.json"))
    assert said.startswith(f"cluster.scheduler_file: {tmp_path}/scheduler.json is no file of a scheduler (JSONDecode")


@pytest.fixture
def mute():
    """The address of something that listens and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.usefixtures("impatient")
def test_something_that_listens_and_says_nothing_is_not_waited_for_forever(mute):
    assert refusal(kind="existing", address=mute).startswith(
        f"No scheduler answers at {mute} (it accepts connections and says nothing: busy, hung, or no scheduler of Dask "
        "(its dashboard has another port); tried for 1 s). Look"
    )


@pytest.mark.usefixtures("impatient")
def test_a_signal_while_a_scheduler_is_tried_ends_the_run_as_stopped(tables):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def ask_to_stop():
            with server.accept()[0]:
                os.kill(os.getpid(), signal.SIGTERM)

        asking = threading.Thread(target=ask_to_stop)
        asking.start()
        done = execute(
            tables | {"cluster": {"kind": "existing", "address": f"tcp://127.0.0.1:{server.getsockname()[1]}"}}
        )
        asking.join()
    assert (done.code, "Stopped; what was finished is kept." in done.text) == (75, True)


def test_a_secure_address_without_certificates_is_told_what_to_set():
    assert refusal(kind="existing", address="tls://127.0.0.1:9").endswith(
        "Write it as tcp://host:port, or as tls://host:port with the certificates named in Dask's configuration "
        "(distributed.comm.tls)."
    )


def test_a_certificate_that_is_not_there_is_not_waited_for(tmp_path):
    keys = ("ca-file", "client.cert", "client.key")
    with dask.config.set({f"distributed.comm.tls.{key}": str(tmp_path / "none.pem") for key in keys}):
        assert "No such file" in refusal(kind="existing", address="tls://127.0.0.1:9")


@pytest.mark.usefixtures("impatient")
def test_a_resolver_that_fails_is_tried_on_and_a_name_that_nobody_has_is_not(monkeypatch, port):
    failures = [socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")]
    monkeypatch.setattr("distributed.comm.resolve_address", lambda _: raise_first(failures))
    assert "Connection refused" in refusal(kind="existing", address=f"tcp://127.0.0.1:{port}")
    failures[0] = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert "no such host" in refusal(kind="existing", address=f"tcp://127.0.0.1:{port}")


def raise_first(errors):
    raise errors[0]


def test_a_notebook_whose_loop_runs_reaches_a_scheduler(client):
    async def in_a_cell():
        spec = ClusterSpec(kind="existing", address=client.scheduler.address)
        with existing.existing(spec) as another:
            return another.status

    assert asyncio.run(in_a_cell()) == "running"
