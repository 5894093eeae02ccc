"""curation.execution.doctor.facts and .between: what is gathered, on this machine."""

import asyncio
import os
import resource
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

import curation
from curation.classifiers.fasttext import FastText
from curation.execution.doctor import between, facts

GIGABYTE = 10**9


@pytest.fixture
def listening():
    """The address of a socket that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed():
    """An address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"tcp://127.0.0.1:{port}"


def test_a_process_sees_itself_and_its_node(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    seen = facts.look("tcp://127.0.0.1:8786", str(tmp_path / "run" / "deeper"))
    assert (seen.host, seen.folder, seen.source_address) == (socket.gethostname(), str(Path.cwd()), "127.0.0.1")
    assert (seen.is_offline, seen.visible, seen.output.path) == (True, "3", str(tmp_path))
    assert seen.limits["open files"] == resource.getrlimit(resource.RLIMIT_NOFILE)
    assert seen.cores == os.sched_getaffinity(0)
    assert seen.memory_bytes <= psutil.virtual_memory().total
    assert any("127.0.0.1" in each.addresses for each in seen.interfaces)


def test_a_remote_output_lies_on_no_disk_of_a_node():
    assert facts.look("", "memory://bucket/run").output is None


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("tcp://10.0.0.1:8786", ("10.0.0.1", 8786)),
        ("tls://[fd00::2]:1", ("fd00::2", 1)),
        ("node:8786", ("node", 8786)),
        ("inproc://10.0.0.1/123/1", ("", 0)),
        ("", ("", 0)),
    ],
)
def test_an_address_is_a_host_and_a_port(address, expected):
    assert facts.host_and_port(address) == expected


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("n1", False)])
def test_loopback_is_known_by_number_and_by_name(host, expected):
    assert facts.is_loopback(host) == expected


def test_the_way_to_a_peer_that_has_no_name_is_unknown():
    assert facts.source_address("tcp://there.is.no.such.host.invalid:1") == ""


def test_the_space_of_a_folder_that_is_not_there_is_unknown(tmp_path):
    assert facts.space(str(tmp_path / "none")) is None


def group(root, path, **files):
    """Write the files of a control group."""
    folder = root / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(f"{text}\n")


def test_the_tightest_control_group_above_a_process_counts(tmp_path):
    group(tmp_path, "job", memory_max=GIGABYTE, cpu_max="150000 100000")
    group(tmp_path, "job/step", memory_max="max", cpu_max="max 100000")
    assert facts.memory_bytes("0::/job/step\n", tmp_path) == GIGABYTE
    assert facts.cpu_quota("0::/job/step\n", tmp_path) == 1.5


def test_control_groups_of_version_1_count_too(tmp_path):
    (tmp_path / "memory" / "job").mkdir(parents=True)
    (tmp_path / "memory" / "job" / "memory.limit_in_bytes").write_text(f"{GIGABYTE}\n")
    assert facts.memory_bytes("4:memory:/job\n3:cpuset:/\n", tmp_path) == GIGABYTE


def test_without_control_groups_all_is_granted(tmp_path):
    assert facts.memory_bytes("0::/\n", tmp_path) == psutil.virtual_memory().total
    assert facts.cpu_quota("0::/\n", tmp_path) == 0.0


def test_our_own_version_changes_with_our_source(tmp_path, monkeypatch):
    before = facts.versions()["curation"]
    assert before == f"{curation.__version__} ({facts.source_digest()})"
    (tmp_path / "new.py").write_text("pass\n")
    monkeypatch.setattr(curation, "__file__", str(tmp_path / "__init__.py"))
    assert facts.versions()["curation"] != before


def test_a_package_that_is_not_installed_has_no_version():
    assert facts.versions()["cudf"] == "" or sys.modules.get("cudf")


def test_torch_answers_from_a_process_of_its_own():
    import torch

    said = facts.torch_in_a_process(60)
    assert (said.version, said.is_available) == (torch.__version__, torch.cuda.is_available())
    assert said.is_available or said.reason


def test_a_torch_that_cannot_be_imported_says_why(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so is missing')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert facts.torch_in_a_process(60).reason == "ImportError: libcudart.so is missing"


def test_a_torch_that_takes_too_long_is_not_waited_for(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert facts.torch_in_a_process(0.5).reason == "importing it takes longer than 0 s"


def driver_of(gpus):
    """A stand-in for the bindings of NVIDIA's driver, which no test machine needs to have."""

    class NVMLError(Exception):
        pass

    def mig_mode(gpu):
        if gpu.mig is None:
            raise NVMLError("Not Supported")
        return [gpu.mig, gpu.mig]

    return SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlSystemGetDriverVersion=lambda: "590.1",
        nvmlDeviceGetCount=lambda: len(gpus),
        nvmlDeviceGetHandleByIndex=lambda index: gpus[index],
        nvmlDeviceGetName=lambda gpu: gpu.name,
        nvmlDeviceGetUUID=lambda gpu: gpu.uuid,
        nvmlDeviceGetMemoryInfo=lambda _: SimpleNamespace(total=80, free=50),
        nvmlDeviceGetMigMode=mig_mode,
        nvmlDeviceGetComputeRunningProcesses=lambda _: [
            SimpleNamespace(pid=os.getpid(), usedGpuMemory=7),
            SimpleNamespace(pid=1, usedGpuMemory=20),
            SimpleNamespace(pid=2, usedGpuMemory=None),
        ],
    )


def test_gpus_are_told_as_the_driver_tells_them(monkeypatch):
    gpus = [SimpleNamespace(name="H100", uuid="GPU-a", mig=1), SimpleNamespace(name="T4", uuid="GPU-b", mig=None)]
    monkeypatch.setitem(sys.modules, "pynvml", driver_of(gpus))
    seen = facts.look("", "run")
    assert seen.driver == "590.1"
    assert seen.gpus == (
        facts.Gpu(0, "H100", "GPU-a", 80, 50, is_mig=True, others_bytes=20),
        facts.Gpu(1, "T4", "GPU-b", 80, 50, is_mig=False, others_bytes=20),
    )


def test_without_bindings_of_the_driver_that_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert facts.look("", "run").gpu_problem == "nvidia-ml-py is not installed"


def test_models_are_known_by_their_fingerprints_or_by_what_is_wrong(tmp_path):
    (tmp_path / "there").mkdir()
    there = FastText.tiny(tmp_path / "there")
    gone = FastText("gone", str(tmp_path / "gone"), "__label__hq")
    found = facts.fingerprints([there, gone])
    assert found["tiny"] == (there.fingerprint(), "")
    assert found["gone"][0] == ""
    assert f"there is no {tmp_path / 'gone'}" in found["gone"][1]


def test_files_that_cannot_be_read_are_told_with_the_reason(tmp_path):
    (tmp_path / "a.jsonl").write_text("{}\n")
    (tmp_path / "folder").mkdir()
    found = facts.unreadable([str(tmp_path / name) for name in ("a.jsonl", "none.jsonl", "folder")])
    assert list(found) == [str(tmp_path / "none.jsonl"), str(tmp_path / "folder")]
    assert "No such file or directory" in found[str(tmp_path / "none.jsonl")]


def test_connections_are_timed_or_say_why_there_are_none(listening, closed):
    found = asyncio.run(between.connect_to([listening, closed]))
    assert found[closed] == "Connection refused"
    assert 0 < found[listening] < between.CONNECT_TIMEOUT_S


def test_connections_are_tried_from_a_thread_too(listening):
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(between.connect_from_here, [listening]).result()
    assert isinstance(found[listening], float)


def both_exchange(folder, names=("one", "two"), timeout_s=30.0):
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda name: between.exchange(str(folder), name, names, timeout_s), names))


def test_two_that_write_into_one_folder_see_both_files_and_one_wins(tmp_path):
    one, two = both_exchange(tmp_path)
    assert [sorted(each.seen_at) for each in (one, two)] == [["one", "two"]] * 2
    assert sorted([one.won, two.won]) == [False, True]
    assert [(each.is_listed, each.is_removed, each.wrong, each.problem) for each in (one, two)] == [
        (True, True, (), "")
    ] * 2


def test_an_object_store_has_no_links_and_works_otherwise():
    one, two = both_exchange("memory://exchange")
    assert [(sorted(each.seen_at), each.won, each.is_listed, each.is_removed) for each in (one, two)] == [
        (["one", "two"], None, True, True)
    ] * 2


def test_a_file_that_never_comes_is_not_waited_for_longer_than_asked(tmp_path):
    found = between.exchange(str(tmp_path), "one", ["one", "two"], 0.1)
    assert list(found.seen_at) == ["one"]


def test_a_file_that_holds_something_else_is_not_seen(tmp_path):
    (tmp_path / "two").write_text("something else")
    found = between.exchange(str(tmp_path), "one", ["one", "two"], 0.1)
    assert (list(found.seen_at), found.wrong) == (["one"], ("two",))


def test_a_node_that_lacks_the_folder_says_so_and_makes_none(tmp_path):
    found = between.exchange(str(tmp_path / "none"), "one", ["one"], 0.1)
    assert found.problem == f"{tmp_path}/none, which the client has just made, is not there. {between.SHARE_IT}"
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_says_why():
    found = between.exchange("/proc", "one", ["one"], 0.1)
    assert (found.written_at, "cannot be written" in found.problem) == (None, True)


def test_a_file_that_is_replaced_by_rename_is_always_whole(tmp_path):
    path = tmp_path / "file"
    between.replaced(path, 0.001)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(between.reread, path, 0.5)
        while not reading.done():
            between.replaced(path, 0.01)
        found = reading.result()
    assert (found.num_missing, found.num_torn, found.problem) == (0, 0, "")
    assert 0 < found.num_changes < found.num_reads


def test_a_file_that_is_not_whole_is_caught(tmp_path):
    (tmp_path / "file").write_bytes(between._CONTENTS[1][:1000])
    found = between.reread(tmp_path / "file", 0.01)
    assert found.num_torn == found.num_reads > 0


def test_a_file_that_is_missing_is_caught(tmp_path):
    found = between.reread(tmp_path / "file", 0.01)
    assert found.num_missing == found.num_reads > 0


def test_a_file_that_cannot_be_read_at_all_says_why(tmp_path):
    assert between.reread(tmp_path, 0.01).problem == f"{tmp_path.name}: Is a directory"
