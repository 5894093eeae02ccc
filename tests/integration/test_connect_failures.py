"""Clusters that cannot be had say so at once, in words."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import threading

import dask
import pytest
from run_files import execute

from curation.core.errors import ClusterError
from curation.execution.cluster import existing, jobqueue
from curation.execution.cluster.connect import connect
from curation.execution.cluster.slurm import SlurmSpec
from curation.execution.cluster.spec import ClusterSpec
from curation.inference.replica import ScoringSpec

REFUSED = r"(\[Errno 111\] Connection refused|no answer)"  # the second on a machine too busy to be refused in time


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
    monkeypatch.setattr(jobqueue, "_SOON_AGAIN_S", 0.2)
    monkeypatch.setattr(jobqueue, "_AGAIN_S", 0.2)
    monkeypatch.chdir(tmp_path)
    return folder


def write_sbatch(folder, *lines):
    write_script(folder / "sbatch", *lines)


def write_script(script, *lines):
    script.write_text("".join(f"{line}\n" for line in ("#!/bin/sh", *lines)))
    script.chmod(0o755)


def test_what_sbatch_says_to_a_job_that_it_refuses_is_quoted(bin_folder):
    write_sbatch(bin_folder, "echo 'sbatch: error: invalid partition specified: nope' >&2", "exit 1")
    assert refusal(kind="slurm", workers=2) == (
        "Slurm refuses a job: sbatch: error: invalid partition specified: nope. If it is a setting, correct "
        "[cluster.slurm]."
    )


@pytest.mark.usefixtures("bin_folder")
def test_a_machine_without_sbatch_is_told_where_to_run():
    assert refusal(kind="slurm") == (
        "sbatch cannot be run here (No such file or directory). Run this on a login node of Slurm, or choose another "
        "cluster.kind."
    )


def test_a_job_that_was_refused_is_asked_for_again_until_slurm_takes_it(bin_folder, caplog):
    told = bin_folder / "told"
    write_sbatch(
        bin_folder,
        f"echo again >> {told}",
        "n=0; while read -r _; do n=$((n + 1)); done < " + str(told),
        '[ "$n" -gt 3 ] && echo "77;cluster2" && exit 0',
        "echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2; exit 1",
    )

    async def asked_for():
        job = jobqueue.Job("tcp://scheduler:1", name="a", cores=1, memory="1 GB")
        await job
        first = job.refusal
        await job._asking
        return first, job.refusal, job.num_refused, job.job_id

    assert asyncio.run(asked_for()) == (
        "Slurm refuses a job: sbatch: error: QOSMaxSubmitJobPerUserLimit. If it is a setting, correct [cluster.slurm].",
        "",
        0,
        "77",
    )
    assert caplog.text.count("It is asked for again every") == 1


def test_jobs_that_are_all_refused_once_and_then_taken_are_waited_for(bin_folder, capsys):
    write_script(bin_folder / "scancel")
    (bin_folder / "mkdir").symlink_to(shutil.which("mkdir", path=os.defpath))
    write_sbatch(
        bin_folder,
        f"mkdir {bin_folder / 'asked'} && echo 'sbatch: error: Socket timed out on send/recv operation' >&2 && exit 1",
        "echo 99",
    )
    said = []

    def is_told():
        said.append(capsys.readouterr().err)
        return any(said)

    with connect(ClusterSpec(kind="slurm"), ScoringSpec(), is_told):
        pass
    assert "".join(said) == (
        "1 job is asked of Slurm; waiting up to 1 day, 0:00:00 for the first worker. `squeue` says what is waited for; "
        "what jobs print is in slurm-logs.\n"
    )


def test_jobs_that_bring_no_worker_are_given_up_in_words(bin_folder):
    write_script(bin_folder / "scancel")
    write_sbatch(bin_folder, "echo 99")
    assert refusal(kind="slurm", workers=2, wait_s=1) == (
        "2 jobs are asked of Slurm, and no worker came in 1 s. `squeue` says what is waited for; what jobs print is in "
        "slurm-logs."
    )


def test_an_sbatch_that_names_no_job_is_quoted(bin_folder):
    write_sbatch(bin_folder, "echo 'Cluster v2: Submitted batch job 99'")
    assert refusal(kind="slurm") == (
        "sbatch --parsable says no number of a job, but 'Cluster v2: Submitted batch job 99'. Look what `type sbatch` "
        "is: a wrapper must pass its options on."
    )


def test_an_sbatch_that_hangs_is_not_waited_for(bin_folder, monkeypatch):
    monkeypatch.setattr(jobqueue, "_ANSWER_S", 0.1)
    write_sbatch(bin_folder, "exec /bin/sleep 600")
    assert refusal(kind="slurm").startswith("sbatch does not end within 0 s. Look whether slurmctld answers")


def test_a_folder_of_logs_that_cannot_be_made_is_told(bin_folder):
    write_sbatch(bin_folder, "exit 1")
    logs = str(bin_folder / "sbatch" / "logs")
    assert refusal(kind="slurm", slurm=SlurmSpec(logs=logs)) == (
        f"cluster.slurm.logs: {logs} cannot be made (Not a directory). Name a folder that can."
    )


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
    assert re.fullmatch(
        rf"No scheduler answers at tcp://127.0.0.1:{port} \({REFUSED}; tried for 1 s\)\. Look whether it runs, at "
        r"which address its log says that it listens, and whether a firewall lies between; then start it or correct "
        r"cluster\.address\.",
        said,
    )
    assert re.fullmatch(rf"tcp://127.0.0.1:{port}: {REFUSED}; trying for 1 s\.\n", capsys.readouterr().err)


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
    assert re.search(REFUSED, refusal(kind="existing", address=f"tcp://127.0.0.1:{port}"))
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


def test_a_worker_that_is_slow_to_die_spoils_nothing_at_the_end(monkeypatch):
    from distributed import Nanny

    kill = Nanny.kill

    async def late(nanny, *arguments, **settings):
        await kill(nanny, *arguments, **settings)
        raise TimeoutError

    monkeypatch.setattr(Nanny, "kill", late)
    with connect(ClusterSpec(kind="cpu", workers=1), ScoringSpec()) as client:
        assert client.submit(sum, [1, 2]).result() == 3
