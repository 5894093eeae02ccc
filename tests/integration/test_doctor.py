"""pipelines/doctor.py on clusters that are well, and on some with a planted problem."""

import json
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from distributed import LocalCluster
from run_files import REPOSITORY, wait_until

from curation import config
from curation.classifiers.bundle import write_bundle
from curation.classifiers.encoder import Encoder
from curation.execution import spec
from curation.execution.doctor import examine as doctor
from curation.execution.doctor import trial
from curation.execution.doctor.asking import Ask, Failed, Patience, ask, within
from curation.execution.doctor.between import clock
from curation.execution.doctor.files import relative_paths

SCRIPT = REPOSITORY / "pipelines" / "doctor.py"
LAST_LINE = re.compile(r"to change: (\d+), notes: \d+, ok: \d+, in \d+\.\d s\n\Z")
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@pytest.fixture
def alone(tables):
    """The tables of a run that starts two workers of its own."""
    return tables | {"cluster": {"kind": "cpu", "workers": 2, "memory_bytes": 10**9}}


def call(tables, path, **settings):
    """The script to its end: code, standard output and standard error."""
    path.write_text(json.dumps(tables))
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(path)], capture_output=True, text=True, check=False, timeout=120, **settings
    )


def examined(tables):
    """The findings of each check, in this process."""
    checks = doctor.examine(config.parse(spec.RunSpec, tables, (), spec.KINDS))
    return {check.title: check.findings for check in checks}


def to_change(findings):
    return [each.text for each in findings if each.level == "change"]


def files_below(folder):
    return sorted(str(path) for path in folder.rglob("*"))


def test_a_cluster_that_is_well_is_told_so_and_nothing_is_left(alone, tmp_path):
    before = files_below(tmp_path)
    job = {"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "2", "SLURM_JOB_NODELIST": "n1"}
    done = call(alone, tmp_path / "config.json", env=os.environ | job)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert LAST_LINE.search(done.stdout)[1] == "0"
    assert files_below(tmp_path) == sorted([*before, str(tmp_path / "config.json")])
    titles = [line for line in done.stdout.splitlines()[:-1] if not line.startswith(" ")]
    assert titles == [
        "plan", "job", "workers", "interfaces", "connections", "clocks", "output", "memory", "cores", "limits",
        "temporary files", "versions", "GPUs", "models", "input",
    ]  # fmt: skip


def test_a_run_directory_that_is_there_is_left_as_it_is(tables, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    before = files_below(tmp_path)
    assert to_change(examined(tables)["output"]) == []
    assert files_below(tmp_path) == before


def test_too_few_open_files_must_be_more(alone, tmp_path):
    def lower():
        resource.setrlimit(resource.RLIMIT_NOFILE, (210, 210))

    done = call(alone, tmp_path / "config.json", preexec_fn=lower)
    assert done.returncode == 2
    assert "210 open files, and the scheduler of 2 workers needs about 220. The hard limit is 210" in done.stdout
    assert LAST_LINE.search(done.stdout)[1] == "2"


@pytest.fixture
def start(tmp_path):
    """A function that starts a scheduler and a worker for each (environment, arguments); gives the [cluster] table."""
    from distributed import Client

    file, processes = tmp_path / "scheduler.json", []
    dask = [sys.executable, "-m", "dask"]
    common = ["--scheduler-file", file, "--nthreads", "1", "--no-dashboard", "--no-nanny", "--memory-limit", "1GB"]

    def started(*workers):
        scheduler = [*dask, "scheduler", "--scheduler-file", file, "--port", "0", "--dashboard-address", ":0"]
        processes.append(subprocess.Popen(scheduler, **QUIET))
        processes.extend(
            subprocess.Popen([*dask, "worker", *common, *arguments], env=os.environ | environment, **QUIET)
            for environment, arguments in workers
        )
        wait_until(file.exists)
        with Client(scheduler_file=str(file)) as client:
            client.wait_for_workers(len(workers), timeout=60)
        return {"cluster": {"kind": "existing", "scheduler_file": str(file)}}

    yield started
    for process in reversed(processes):
        process.kill()
        process.wait()


def test_a_worker_with_another_version_is_named(tables, start, tmp_path):
    other = tmp_path / "site" / "transformers-9.9.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: transformers\nVersion: 9.9.9\n")
    places = [str(other.parent), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    there = tables | start(({}, []), ({"PYTHONPATH": os.pathsep.join(places)}, []))
    done = call(there, tmp_path / "config.json")
    assert (done.returncode, done.stderr) == (2, ""), done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("  change:")]
    assert re.match(r"  change: transformers is 5\S* here and 9\.9\.9 on tcp://\S+ \(\S+\)\. Start all of them", line)


@pytest.mark.long  # Dask itself waits half a minute for it
def test_a_worker_that_the_scheduler_cannot_reach_is_named_and_holds_up_no_other(tables, start):
    unreachable = ["--listen-address", "tcp://127.0.0.1:0", "--contact-address", "tcp://127.0.0.1:9"]
    found = examined(tables | start(({}, []), ({}, unreachable)))
    (closed,) = to_change(found["connections"])
    assert found["workers"][0].text == f"answers from 1 of 2 workers, on {socket.gethostname()}"
    assert [title for title, findings in found.items() if to_change(findings)] == ["connections"]
    assert closed.startswith("no connection from the scheduler to tcp://127.0.0.1:9: Connection refused. Open the")


@pytest.fixture
def bundle(tmp_path):
    """A bundle of a tiny encoder."""
    folder = tmp_path / "models" / f"acme--tiny-edu@{'a' * 40}"
    folder.mkdir(parents=True)
    Encoder.tiny(folder)
    write_bundle(folder, "acme/tiny-edu", "a" * 40, "")
    return folder


def of_hub(bundle, name, model="acme/tiny-edu"):
    return {"kind": "encoder", "name": name, "model": model, "bundles": str(bundle.parent)}


def test_what_is_wrong_with_bundles_and_input_is_told_all_at_once(tables, bundle, corpus):
    weights = bundle / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    (corpus / "part-99.jsonl").symlink_to(corpus / "gone.jsonl")
    broken = tables | {"classifier": [of_hub(bundle, "changed"), of_hub(bundle, "missing", "acme/other")]}
    found = examined(broken)
    changed, missing = to_change(found["models"])
    assert f"changed: Model 'acme/tiny-edu': {bundle} does not hold what was fetched: model.safetensors has" in changed
    assert missing.startswith("missing: Model 'acme/other': neither a path that exists nor in the bundles folder")
    assert [text for text in to_change(found["plan"]) if str(corpus / "part-99.jsonl") in text]
    assert to_change(found["connections"]) == to_change(found["versions"]) == []


def test_a_bundle_that_is_sound_is_told_with_its_fingerprint(tables, bundle):
    found = examined(tables | {"classifier": [of_hub(bundle, "edu")]})
    recipe = config.parse(spec.RunSpec, tables | {"classifier": [of_hub(bundle, "edu")]}, (), spec.KINDS).classifier[0]
    assert to_change(found["models"]) == []
    assert found["models"][0].text.startswith(f"edu: {recipe.fingerprint()[:8]} on ")


def test_an_output_that_cannot_be_written_must_be_another_and_is_told_once(tables, tmp_path):
    (tmp_path / "file").write_text("")
    found = examined(tables | {"output": str(tmp_path / "file" / "run")})
    assert [to_change(findings) for findings in found.values() if to_change(findings)] == [
        [f"output: {tmp_path}/file/run cannot be made: {tmp_path}/file is a file. Choose another place."]
    ]


def test_a_relative_output_is_where_a_run_makes_it(tables, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = examined(tables | {"output": "runs/x"})
    assert to_change(found["output"]) == []
    assert [each.text for each in found["output"] if "is not there yet" in each.text] == [
        f"{tmp_path}/runs/x is not there yet; tried in {tmp_path}"
    ]


def test_workers_that_are_asked_for_and_missing_are_counted(tables, monkeypatch):
    monkeypatch.setattr(doctor, "_COME_S", 1.0)
    found = examined(tables | {"cluster": tables["cluster"] | {"workers": 3}})
    assert found["workers"][0].text == f"answers from 2 of 2 workers, on {socket.gethostname()}"
    (text,) = [each.text for each in found["workers"] if each.level == "note"]
    assert text.startswith("2 of 3 asked are there, and the others have been waited for")
    assert text.endswith("Start the others, or correct cluster.workers.")


def test_an_interface_that_is_not_here_is_told_with_those_that_are(tables):
    found = examined(tables | {"cluster": {"kind": "slurm", "slurm": {"interface": "nope0"}}})
    (text,) = to_change(found["cluster"])
    assert text.startswith("cluster.slurm.interface: 'nope0' is no interface with an IPv4 address of this machine")
    assert re.search(r"there are .*\blo\b", text)


def test_a_memory_that_processes_do_not_share_is_no_output(tables, monkeypatch):
    monkeypatch.setattr(trial, "_EXCHANGE_S", 0.5)
    found = examined(tables | {"output": "memory://bucket/run"})
    unseen = [text for text in to_change(found["output"]) if " does not see what " in text]
    assert len(unseen) == 1
    assert "Choose an output on a file system that all nodes mount at this path, or an object store." in unseen[0]


def test_an_output_that_nothing_can_open_is_told_and_the_rest_is_examined(tables):
    found = examined(tables | {"output": "nowhere://bucket/run"})
    assert [title for title, findings in found.items() if to_change(findings)] == ["plan"]
    assert "nothing here can open nowhere:// paths" in to_change(found["plan"])[0]
    assert found["input"][-1].level == "ok"


def test_without_a_scheduler_this_machine_is_examined(tables, monkeypatch):
    for module in ("cluster.existing", "doctor.examine"):
        monkeypatch.setattr(f"curation.execution.{module}.SOON_S", 0.5)
    found = examined(tables | {"cluster": {"kind": "existing", "address": "tcp://127.0.0.1:9"}})
    (text,) = to_change(found.pop("cluster"))
    assert text.startswith("No scheduler answers at tcp://127.0.0.1:9")
    assert list(found) == ["plan", "interfaces", "limits", "output", "versions", "models", "input"]
    assert [to_change(findings) for findings in found.values()] == [[]] * 7


def test_without_a_worker_this_machine_is_examined_and_a_day_is_not_waited_for(tables, monkeypatch):
    monkeypatch.setattr("curation.execution.doctor.examine._FIRST_WORKER_S", 1)
    with LocalCluster(n_workers=0, dashboard_address=":0") as cluster:
        table = {"kind": "existing", "address": cluster.scheduler_address, "wait_s": 86400}
        found = examined(tables | {"cluster": table})
    (text,) = to_change(found["cluster"])
    assert text.endswith("has had no worker for 1 s. Start workers, then run again.")
    assert list(found)[-1] == "input"


def test_mistakes_of_the_cluster_table_are_told_once_and_the_rest_is_examined(tables):
    found = examined(tables | {"cluster": {"kind": "existing"}, "input": {"path": "/nowhere/x"}})
    assert [title for title, findings in found.items() if not findings] == []
    assert list(found) == ["plan", "cluster", "interfaces", "limits", "output", "versions", "models"]
    assert [to_change(findings) for findings in found.values() if to_change(findings)] == [
        ["[input] path: '/nowhere/x' cannot be listed: there is no such file or folder."],
        ["cluster: an existing cluster is named by its address or by its scheduler_file, one of them."],
    ]


def test_a_config_that_cannot_be_read_is_one_message(tmp_path):
    done = call({"output": str(tmp_path / "run"), "nonsense": 1}, tmp_path / "config.json")
    assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (2, "", False)
    assert "nonsense: there is no such setting" in done.stderr


def test_a_worker_that_is_gone_and_one_that_raises_fail_in_words(client):
    worker = next(iter(client.scheduler_info()["workers"]))
    answers = ask(
        client,
        {
            "well": Ask(worker, clock),
            "raises": Ask(worker, shutil.rmtree, ("/there/is/no/such/folder",)),
            "gone": Ask("tcp://127.0.0.1:9", clock),
        },
        2.0,
    )
    assert isinstance(answers["well"], float)
    assert answers["raises"].reason.startswith("FileNotFoundError: ")
    assert answers["gone"].reason == "no answer within 2 s: it is busy, hung or gone"


def test_relative_paths_are_those_of_folders_that_workers_open(tables, models):
    named = [of_hub(Path("models/acme"), "hub"), models["edu"] | {"model": "./mine"}, {**models["keep"], "name": "x"}]
    changed = {"output": "runs/x", "classifier": named, "tokens": {"count_tokenizer": "counts"}}
    settings = config.parse(spec.RunSpec, tables | changed, (), spec.KINDS)
    assert relative_paths(settings.paths_of_workers().values()) == ["counts", "models", "./mine"]


def test_what_takes_too_long_here_is_left_alone():
    never = threading.Event()
    assert within(0.1, never.wait) == Failed("no answer in time")
    never.set()
    assert within(60, never.wait) is True


def test_the_start_of_a_cluster_takes_nothing_from_the_time_for_questions():
    patience = Patience(2.0)
    assert patience.left_s(10.0) <= 2.0
    patience.pause(100.0)
    assert patience.left_s(10.0) == 10.0
    assert Patience(0.0).left_s(10.0) == 1.0
