"""curation.execution.cluster: which cluster a config means, and what is wrong with it before anything starts."""

import logging

import pytest
from distributed.comm import CommClosedError
from doubles import nvml

from curation.core.errors import ClusterError
from curation.execution.cluster import roll as roll_module
from curation.execution.cluster import spec, worker
from curation.execution.cluster.roll import Roll
from curation.execution.cluster.slurm import SlurmSpec, seconds
from curation.execution.cluster.spec import ClusterSpec
from curation.inference.replica import ScoringSpec


@pytest.fixture
def two_gpus(monkeypatch):
    """Two GPUs, and dask-cuda to use them with."""
    nvml.install(monkeypatch, "GPU-a", "GPU-b")
    monkeypatch.setattr("curation.execution.cluster.gpus.find_spec", lambda _: True)


def mounting(*mounts):
    """A container that sees these."""
    return SlurmSpec(container="a.sqsh", mounts=mounts)


@pytest.fixture
def no_gpu(monkeypatch):
    """A machine without one."""
    nvml.install(monkeypatch)


@pytest.mark.usefixtures("two_gpus")
def test_auto_takes_the_gpus_that_are_there_and_says_so():
    settled, why = ClusterSpec().settled("auto")
    assert (settled.kind, why) == ("cuda", "auto: NVML reports 2 GPUs")
    assert ClusterSpec().device("auto") == "cuda"
    assert ClusterSpec().with_room_for("cudf").describe(ScoringSpec()) == (
        "cuda, 2 workers (auto: NVML reports 2 GPUs), each with a GPU; RMM has 2.0 of its 80.0 GiB, torch what is left"
    )


@pytest.mark.usefixtures("no_gpu")
def test_auto_takes_the_cpu_elsewhere_and_says_so():
    settled, why = ClusterSpec(workers=2).settled("auto")
    assert (settled.kind, why) == ("cpu", "auto: NVML reports no GPU")
    assert ClusterSpec(workers=2).describe(ScoringSpec()) == "cpu, 2 workers (auto: NVML reports no GPU)"


@pytest.mark.usefixtures("two_gpus")
def test_auto_leaves_gpus_alone_when_the_cpu_is_asked_for():
    assert ClusterSpec().settled("cpu")[0].kind == "cpu"


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(("kind", "device"), [("cuda", "auto"), ("auto", "cuda")])
def test_gpus_that_are_not_there_are_one_clear_mistake(kind, device):
    assert ClusterSpec(kind=kind).mistakes(device) == ["cluster: GPUs are asked for, and NVML reports no GPU."]


@pytest.mark.usefixtures("two_gpus")
def test_more_workers_than_gpus_are_a_mistake():
    (mistake,) = ClusterSpec(kind="cuda", workers=3).mistakes()
    assert mistake == "cluster.workers: 3 is more than this machine's 2 GPUs, one for each worker."


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("settings", "device", "mistake"),
    [
        ({"kind": "cpu"}, "cuda", 'workers of kind = "cpu" would all use one GPU'),
        ({"kind": "cuda"}, "cpu", 'leaves the GPUs of kind = "cuda" idle'),
        ({"kind": "cuda"}, "cuda:1", "names one GPU, and every worker has its own"),
        ({"kind": "slurm"}, "cuda", "does not fit cluster.slurm.gpus = 0"),
        ({"kind": "slurm", "slurm": SlurmSpec(gpus=1)}, "cpu", "does not fit cluster.slurm.gpus = 1"),
    ],
)
def test_a_device_that_does_not_fit_the_cluster_is_a_mistake(settings, device, mistake):
    (found,) = ClusterSpec(**settings).mistakes(device)
    assert mistake in found


@pytest.mark.parametrize(
    ("settings", "mistake"),
    [
        ({"kind": "cpu", "address": "tcp://a:1"}, "cluster.address: has no effect"),
        ({"kind": "cpu", "min_workers": 1}, "cluster.min_workers: has no effect"),
        ({"kind": "cpu", "rmm_bytes": 1}, "cluster.rmm_bytes: has no effect"),
        ({"kind": "cpu", "wait_s": -1}, "cluster.wait_s: -1 is below 0"),
        ({"kind": "slurm", "workers": 2, "min_workers": 3}, "cluster.min_workers: 3 is more than the 2 workers"),
        ({"kind": "cpu", "slurm": SlurmSpec(time="soon")}, "cluster.slurm.time: 'soon' is no time"),
        ({"kind": "cpu", "slurm": SlurmSpec(nodes=0)}, "cluster.slurm.nodes: 0 is below 1"),
        ({"kind": "cpu", "slurm": SlurmSpec(mounts=("/a",))}, "cluster.slurm.mounts: has no effect"),
        ({"kind": "cpu", "slurm": SlurmSpec(account="a\nb")}, "cluster.slurm.account: holds a line break"),
        ({"kind": "cpu", "slurm": mounting("")}, "cluster.slurm.mounts: '' is no mount; write"),
        ({"kind": "cpu", "slurm": mounting("data")}, "cluster.slurm.mounts: 'data' is no mount; write"),
        ({"kind": "cpu", "slurm": mounting("/a:b")}, "cluster.slurm.mounts: '/a:b' is no mount; write"),
        ({"kind": "cpu", "slurm": mounting("/a:")}, "cluster.slurm.mounts: '/a:' is no mount; write"),
        ({"kind": "cpu", "slurm": mounting("/a:/b:ro")}, "cluster.slurm.mounts: '/a:/b:ro' is no mount; write"),
        ({"kind": "cpu", "slurm": mounting("/a,b")}, "cluster.slurm.mounts: '/a,b' holds a comma"),
    ],
)
def test_settings_that_make_no_sense_are_mistakes(settings, mistake):
    (found,) = ClusterSpec(**settings).mistakes()
    assert found.startswith(mistake)


def test_what_a_config_says_of_workers_is_worth_a_note_where_others_start_them():
    spec = ClusterSpec(kind="existing", address="tcp://a:1", workers=2, memory_bytes=2)
    assert spec.mistakes() == []
    assert spec.notes() == [
        "cluster.workers: has no effect on a run here; an existing cluster has the workers it has.",
        "cluster.memory_bytes: has no effect on a run here; an existing cluster has the workers it has.",
    ]
    assert ClusterSpec(kind="cpu", workers=2).notes() == []


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("settings", "num_asked"),
    [
        ({}, 2),
        ({"kind": "cpu", "workers": 3}, 3),
        ({"kind": "cuda", "workers": 1}, 1),
        ({"kind": "slurm", "slurm": SlurmSpec(nodes=2, workers_per_node=4)}, 8),
        ({"kind": "slurm", "workers": 8, "min_workers": 2}, 2),
        ({"kind": "existing", "address": "tcp://a:1"}, 0),
        ({"kind": "existing", "address": "tcp://a:1", "workers": 2}, 2),
    ],
)
def test_the_workers_that_are_asked_for_are(settings, num_asked):
    assert ClusterSpec(**settings).num_asked(ScoringSpec()) == num_asked


def test_slurm_without_dask_jobqueue_is_a_mistake(monkeypatch):
    monkeypatch.setattr(spec, "find_spec", lambda _: None)
    (mistake,) = ClusterSpec(kind="slurm").mistakes()
    assert mistake == "cluster: slurm needs dask-jobqueue; pip install '.[slurm]'."


@pytest.mark.parametrize(
    ("time", "in_seconds"),
    [("90", 5400), ("1:30", 90), ("4:00:00", 14400), ("2-0", 172800), ("1-12:30", 131400), ("1-0:0:1", 86401)],
)
def test_times_are_read_as_slurm_reads_them(time, in_seconds):
    assert seconds(time) == in_seconds


class Workers:
    """What a client says of workers by the UUIDs of their GPUs, or by the error that asking for it ends in."""

    status = "running"

    def __init__(self, *uuids):
        self.asked = []
        self.uuids = {f"tcp://w:{number}": uuid for number, uuid in enumerate(uuids)}
        self.names = {address: f"w{address[-1]}" for address in self.uuids}

    def scheduler_info(self, n_workers):
        assert n_workers == -1
        return {"workers": {each: {"nthreads": 1, "name": self.names.get(each, each)} for each in self.uuids}}

    def run(self, _function, workers, on_error, callback_timeout):
        assert on_error == "return"
        assert callback_timeout > 0
        self.asked.extend(workers)
        (worker,) = workers
        if isinstance(self.uuids[worker], TimeoutError):
            raise self.uuids[worker]
        return {worker: self.uuids[worker]}


def test_every_worker_has_a_gpu_of_its_own():
    Roll(Workers("GPU-a", "GPU-b"), "cuda").call()
    with pytest.raises(ClusterError, match=r"w0 \(tcp://w:0\) and w1 \(tcp://w:1\) share the GPU GPU-a"):
        Roll(Workers("GPU-a", "GPU-a"), "cuda").call()
    with pytest.raises(ClusterError, match=r"Workers without a GPU: w1"):
        Roll(Workers("GPU-a", ""), "cuda").call()


def test_gpus_of_an_existing_cluster_do_not_idle_unasked():
    Roll(Workers("", ""), "auto").call()
    Roll(Workers("GPU-a", "GPU-b"), "cpu").call()
    with pytest.raises(ClusterError, match="say whether they are used"):
        Roll(Workers("GPU-a", "GPU-b"), "auto").call()


def test_a_worker_that_comes_later_is_looked_at_and_the_others_are_not_again():
    workers = Workers("GPU-a")
    roll = Roll(workers, "cuda")
    roll.call()
    workers.uuids["tcp://w:1"] = "GPU-a"
    with pytest.raises(ClusterError, match="share the GPU GPU-a"):
        roll.call()
    assert workers.asked == ["tcp://w:0", "tcp://w:1"]


def test_a_worker_that_has_gone_shares_nothing():
    workers = Workers("GPU-a")
    roll = Roll(workers, "cuda")
    roll.call()
    workers.uuids = {"tcp://w:9": "GPU-a"}
    roll.call()


def test_a_worker_without_a_name_of_its_own_is_named_once():
    workers = Workers("GPU-a", "")
    workers.names.clear()
    with pytest.raises(ClusterError, match=r"Workers without a GPU: tcp://w:1\. Start"):
        Roll(workers, "cuda").call()


def test_a_worker_that_hangs_is_told_once_and_asked_again_a_minute_later(caplog, monkeypatch):
    workers = Workers("GPU-a", TimeoutError())
    roll = Roll(workers, "cuda")
    roll.call()
    roll.call()
    assert workers.asked.count("tcp://w:1") == 1
    monkeypatch.setattr(roll_module, "_AGAIN_S", 0)
    roll.call()
    assert workers.asked.count("tcp://w:1") == 2
    assert caplog.text.count("tcp://w:1 does not say which GPU it has: it gives no answer in time") == 1
    workers.uuids["tcp://w:1"] = "GPU-b"
    roll.call()
    assert roll.gpus == {"tcp://w:0": "GPU-a", "tcp://w:1": "GPU-b"}


def test_a_worker_that_cannot_look_for_its_gpu_is_told_with_what_it_raises(caplog):
    roll = Roll(Workers("GPU-a", OSError("no driver")), "cuda")
    roll.call()
    assert roll.gpus == {"tcp://w:0": "GPU-a"}
    assert "tcp://w:1 does not say which GPU it has: it raises OSError: no driver. End it" in caplog.text


def test_workers_none_of_whom_says_which_gpu_it_has_are_an_error():
    workers = Workers(TimeoutError(), TimeoutError())
    with pytest.raises(ClusterError, match="None of 2 workers says which GPU it has; the first of them gives no"):
        Roll(workers, "cuda").call()


@pytest.mark.parametrize(
    ("error", "message", "is_news"),
    [
        (CommClosedError("gone"), "a connection broke", False),
        (None, "Compute Failed\nKey: a", False),
        (OSError(28, "No space left on device"), "a preload failed", True),
        (None, "Worker process died unexpectedly", True),
    ],
)
def test_a_worker_logs_what_nobody_else_tells(error, message, is_news):
    exc_info = error and (type(error), error, None)
    assert worker._is_news(logging.LogRecord("distributed", logging.ERROR, "", 0, message, (), exc_info)) is is_news
