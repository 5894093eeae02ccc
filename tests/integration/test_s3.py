"""Everything on S3: the bytes of a local run, one PUT each, resumed after kill -9, and no secret in any output."""

import contextlib
import gzip
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from run_files import call, command, contents, documents, execute, wait_until, write_jsonl
from s3_server import KEY, SECRET, serving

from curation import config
from curation.core.errors import ClusterError, CurationError
from curation.data import storage
from curation.data.inputs import InputSpec, find
from curation.data.reader import read
from curation.data.shards import split_all
from curation.execution import lock, spec
from curation.execution.cluster.connect import connect
from curation.execution.cluster.spec import ClusterSpec
from curation.execution.plan import make_plan
from curation.inference.replica import ScoringSpec

KEPT = ("rows", "scores", "tierings", "documents", "quarantine")


@pytest.fixture(scope="module")
def environ():
    """Changes of the environment that last as long as the module; what this process knew of stores is forgotten."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with pytest.MonkeyPatch.context() as patch:
        yield patch
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture(scope="module")
def store(environ):
    """An S3 server, to which the environment leads."""
    with serving() as store:
        for name, value in store.environ().items():
            environ.setenv(name, value)
        yield store


@pytest.fixture(scope="module")
def fs(store):
    """The file system of the store, with a bucket."""
    assert os.environ["AWS_ENDPOINT_URL"] == store.url
    fs = fsspec.filesystem("s3")
    fs.mkdir("bucket")
    return fs


@pytest.fixture(scope="module")
def s3_client(store):
    """Two workers that know the store from their environment."""
    assert os.environ["AWS_ENDPOINT_URL"] == store.url
    with connect(ClusterSpec(kind="cpu", workers=2), ScoringSpec()) as client:
        yield client


@pytest.fixture
def place(fs, request):
    """A place of its own in the bucket."""
    return fs.unstrip_protocol(f"bucket/{zlib.crc32(request.node.name.encode()):x}")


@pytest.fixture
def mixed(tmp_path):
    """Documents in every kind of file, with a row that cannot be read in some."""
    folder = tmp_path / "mixed"
    for number in range(6):
        write_jsonl(folder / f"part-{number}.jsonl", [*documents(20, 20 * number), {"id": "no text"}])
    for number in range(6, 9):
        file = folder / f"deep/part-{number}.jsonl"
        write_jsonl(file, documents(20, 20 * number))
        file.with_suffix(".jsonl.gz").write_bytes(gzip.compress(file.read_bytes(), mtime=0))
        file.unlink()
    for number in range(9, 12):
        rows = pa.Table.from_pylist(list(documents(20, 20 * number)))
        pq.write_table(rows, folder / f"deep/part-{number}.parquet", row_group_size=7)
    return folder


@pytest.fixture
def s3_tables(mixed, models, place, fs, s3_client):
    """The tables of a run that reads s3://…/input and writes s3://…/run."""
    fs.put(f"{mixed}/", f"{place}/input/", recursive=True)
    return {
        "output": f"{place}/run",
        "input": {"path": f"{place}/input", "carry": ["url"], "shard_bytes": 3000},
        "classifier": [models["edu"], models["keep"]],
        "documents": True,
        "cluster": {"kind": "existing", "address": s3_client.scheduler.address},
    }


def local(tables, mixed, tmp_path):
    """What a run of the same documents on this machine gives."""
    here = {"output": str(tmp_path / "local"), "input": tables["input"] | {"path": str(mixed)}}
    return contents(execute(tables | here).folder)


def objects(fs, run):
    """Path → bytes of every object below."""
    fs.invalidate_cache()
    root = fs._strip_protocol(run)
    return {name.removeprefix(f"{root}/"): data for name, data in fs.cat(fs.find(root)).items()}


def path_of(url):
    """A URL as the server sees it."""
    return url.removeprefix("s3:/")


def kept(found):
    return {name: data for name, data in found.items() if name.startswith(KEPT)}


def written(store):
    """How often each file of the run directory that equal work makes equal was put."""
    puts = Counter(path.partition("/run/")[2] for method, path, *_ in store.requests if method == "PUT")
    return {name: count for name, count in puts.items() if name.startswith(KEPT)}


@contextlib.contextmanager
def nobody_is_known(store):
    """The store knows no credentials while the block runs."""
    store.ask_who(True)
    yield
    store.ask_who(False)


def test_a_run_on_s3_writes_the_bytes_of_a_local_one_with_one_put_each_and_no_secret(
    s3_tables, mixed, store, fs, tmp_path
):
    expected = local(s3_tables, mixed, tmp_path)
    store.requests.clear()
    done = call(s3_tables | {"cluster": {"workers": 2}}, tmp_path / "config.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert written(store) == dict.fromkeys(expected, 1)
    assert not [query for _, _, query, *_ in store.requests if "uploads" in query or "partNumber" in query]
    found = objects(fs, s3_tables["output"])
    assert kept(found) == expected
    others = {"config.json", "inputs.json", "precision.json", "shards.parquet", "log/1.jsonl"}
    others |= {f"report/{name}" for name in ("report.json", "index.html", "README.md")}
    assert found.keys() - expected.keys() == others
    for secret in (KEY, SECRET):
        assert secret not in done.stdout + done.stderr
        assert [name for name, data in found.items() if secret.encode() in data] == []


def test_a_second_run_on_s3_does_nothing_and_sees_what_changed(s3_tables, store, fs):
    first = execute(s3_tables)
    before = kept(objects(fs, s3_tables["output"]))
    file = f"{s3_tables['input']['path']}/part-3.jsonl"
    fs.pipe(file, fs.cat(file))
    store.requests.clear()
    second = execute(s3_tables)
    assert (first.code, second.code, second.plan.missing.tasks) == (0, 0, ())
    assert written(store) == {"tierings/default/spec.json": 1}
    assert kept(objects(fs, s3_tables["output"])) == before
    fs.pipe(file, fs.cat(file).replace(b"Water", b"Later"))
    third = execute(s3_tables)
    assert {task.shard.relative for task in third.plan.missing.tasks} == {"part-3.jsonl"}
    assert third.code == 0


@pytest.mark.parametrize("below", ["rows", pytest.param("tierings/default/tiers", marks=pytest.mark.long)])
def test_a_run_on_s3_killed_on_its_way_ends_with_the_bytes_of_an_undisturbed_one(s3_tables, mixed, fs, tmp_path, below):
    expected = local(s3_tables, mixed, tmp_path)
    own_workers = s3_tables | {"cluster": {"workers": 2}}
    start = command(own_workers, tmp_path / "config.json")
    process = subprocess.Popen(start, stdout=subprocess.DEVNULL, start_new_session=True)
    folder = f"{s3_tables['output']}/{below}"
    wait_until(lambda: process.poll() is not None or len(storage.list_files(folder)) > 2)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert storage.exists(f"{s3_tables['output']}/lock.json")
    done = call(own_workers, tmp_path / "config.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert kept(objects(fs, s3_tables["output"])) == expected


def test_what_s3fs_would_put_in_parts_is_put_at_once(place, store):
    store.requests.clear()
    with storage.committed(f"{place}/large") as file:
        file.truncate(101 << 20)
    assert [(method, query) for method, _, query, *_ in store.requests] == [("PUT", {})]


def test_a_process_that_is_killed_while_uploading_leaves_the_old_object_and_no_parts(place, store, fs):
    storage.write_bytes(f"{place}/file", b"old")
    program = (
        "import sys; from curation.data import storage\n"
        "with storage.committed(sys.argv[1]) as file: file.write(bytes(20 << 20))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, f"{place}/file"])

    def kill(environ):
        environ["wsgi.input"].read(1 << 20)
        process.kill()
        process.wait()

    store.requests.clear()
    store.interrupt(path_of(f"{place}/file"), kill)
    assert process.wait(60) == -signal.SIGKILL
    wait_until(lambda: store.requests)  # the answer to what it had sent
    assert storage.read_bytes(f"{place}/file") == b"old"
    assert fs.list_multipart_uploads("bucket") == []


def test_a_plan_of_a_thousand_objects_lists_them_and_asks_for_none(models, place, store, fs):
    rows = "".join(json.dumps(row) + "\n" for row in documents(2)).encode()
    fs.pipe({f"{place}/input/part-{number:04}.jsonl": rows for number in range(1000)})
    tables = {
        "output": f"{place}/run",
        "input": {"path": f"{place}/input"},
        "classifier": [models["edu"], models["keep"]],
    }
    store.requests.clear()
    plan = make_plan(config.parse(spec.RunSpec, tables, (), spec.KINDS))
    assert len(plan.missing.tasks) == 1000
    assert len(store.requests) < 100


def test_a_parquet_file_whose_columns_are_read_in_turns_is_fetched_once(place, store):
    rows = [{"id": f"{number:064}", "text": os.urandom(1000).hex()} for number in range(10_000)]
    with storage.committed(f"{place}/input/large.parquet") as file:
        pq.write_table(pa.Table.from_pylist(rows), file, compression="none", use_dictionary=False)
    reading = InputSpec((f"{place}/input",))
    found = find(reading)
    store.requests.clear()
    (shard,) = split_all(found.files, reading).shards
    assert sum(num_bytes for *_, num_bytes, _ in store.requests) <= 2 * storage.PEEK_BYTES
    store.requests.clear()
    assert sum(len(partition.frame) for partition in read(shard, reading)) == 10_000
    assert sum(num_bytes for *_, num_bytes, _ in store.requests) < 1.2 * found.num_bytes
    assert len(store.requests) < 3 + found.num_bytes / (1 << 22)


def test_a_run_on_s3_that_another_one_holds_is_refused_and_told_who(s3_tables, tmp_path):
    with lock.hold(f"{s3_tables['output']}/lock.json"):
        done = call(s3_tables, tmp_path / "config.json")
    assert done.returncode == 2
    assert f"process {os.getpid()} on " in done.stderr


def test_a_dead_process_does_not_hold_a_lock_on_s3(place):
    url = f"{place}/lock.json"
    program = (
        "import os, sys; from curation.execution import lock\nwith lock.hold(sys.argv[1]): os.kill(os.getpid(), 9)\n"
    )
    dead = subprocess.run([sys.executable, "-c", program, url], check=False)
    assert dead.returncode == -signal.SIGKILL
    assert storage.exists(url)
    with lock.hold(url):
        assert json.loads(storage.read_bytes(url))["pid"] == os.getpid()
    assert not storage.exists(url)


@pytest.mark.parametrize("former", [b"", b'{"host": "elsewhere"}'], ids=["no lock", "a stale lock"])
def test_of_many_runs_on_s3_that_start_at_once_one_gets_the_lock(place, monkeypatch, former):
    url = f"{place}/lock.json"
    if former:
        storage.write_bytes(url, former)
    monkeypatch.setattr(lock, "HEARTBEAT_S", 0.5)
    start, end = threading.Barrier(8), threading.Barrier(8)

    def try_to_hold(_):
        start.wait(60)
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(lock.hold(url))
            except ClusterError:
                return end.wait(60) < 0
            return end.wait(60) >= 0

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(try_to_hold, range(8))) == 1
    assert not storage.exists(url)


def test_credentials_that_the_store_refuses_half_way_are_told_in_a_sentence_and_not_shown(
    s3_tables, store, fs, tmp_path
):
    s3_tables["input"]["path"] += "/part-3.jsonl"
    s3_tables["input"]["shard_bytes"] = 1_000_000
    url = f"{s3_tables['output']}/rows/part-3.jsonl.parquet"
    store.interrupt(path_of(url), lambda _: store.ask_who(True))
    try:
        done = call(s3_tables | {"cluster": {"workers": 1}}, tmp_path / "config.json")
    finally:
        store.ask_who(False)
    text = done.stdout + done.stderr
    assert (done.returncode, "Traceback" in text, KEY in text, SECRET in text) == (1, False, False, False), text
    assert f"{url}: cannot be written: " in text or "cannot be listed" in text
    assert "Check the credentials that the environment or a profile gives here and to every worker" in text
    assert "rows/part-3.jsonl.parquet" not in objects(fs, s3_tables["output"])
    assert execute(s3_tables).code == 0
    for secret in (KEY, SECRET):
        found = objects(fs, s3_tables["output"])
        assert [name for name, data in found.items() if secret.encode() in data] == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "Unable to locate credentials. Check the cred"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "Could not connect to the endpoint URL"),
        ({"AWS_ENDPOINT_URL": f"http://{KEY}:{SECRET}@127.0.0.1:9"}, "http://…@127.0.0.1:9"),
        ({"AWS_PROFILE": "nobody"}, "The config profile (nobody) could not be found. Check the cred"),
        ({"output": "s3://nobucket/run"}, "s3://nobucket/run/rows: cannot be listed: The specified bucket does not"),
        ({"input": "s3://nobucket/input"}, "'s3://nobucket/input' cannot be listed: there is no such"),
        ({"input": f"s3://{KEY}:{SECRET}@bucket/input"}, "s3://…@bucket/input: holds credentials"),
        ({"output": f"s3://{KEY}:{SECRET}@bucket/run"}, "output: s3://…@bucket/run: holds cred"),
    ],
)
def test_a_plan_that_cannot_reach_the_store_says_why_in_a_sentence_without_secrets(
    s3_tables, monkeypatch, capfd, change, said
):
    for name, value in change.items():
        if name == "input":
            s3_tables["input"] |= {"path": value}
        elif name == "output":
            s3_tables["output"] = value
        elif value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    try:
        with pytest.raises(CurationError) as caught:
            make_plan(config.parse(spec.RunSpec, s3_tables, (), spec.KINDS))
    finally:
        fsspec.get_filesystem_class("s3").clear_instance_cache()
    shown = str(caught.value) + "".join(capfd.readouterr())
    assert said in str(caught.value)
    assert (KEY in shown, SECRET in shown) == (False, False)


def test_a_plan_with_credentials_that_the_store_does_not_know_says_so(s3_tables, store):
    with nobody_is_known(store), pytest.raises(CurationError, match=r"Check the credentials that the environment"):
        make_plan(config.parse(spec.RunSpec, s3_tables, (), spec.KINDS))
