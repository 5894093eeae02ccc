"""curation.execution.cluster.gpus: what NVML reports, and what CUDA_VISIBLE_DEVICES leaves of it."""

import pytest
from doubles import nvml

from curation.execution.cluster.gpus import gpus, own_gpu, why_no_cuda


def test_without_a_driver_there_is_no_gpu(monkeypatch):
    nvml.install(monkeypatch)
    assert gpus({}) == ()
    assert own_gpu() == ""
    assert why_no_cuda({}) == "NVML reports no GPU"


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        (None, ["GPU-a", "GPU-b", "GPU-c"]),
        ("2,0", ["GPU-c", "GPU-a"]),
        ("GPU-b", ["GPU-b"]),
        ("1,7,0", ["GPU-b"]),
        ("", []),
        ("-1", []),
    ],
)
def test_what_is_visible_is_what_cuda_would_show(monkeypatch, visible, seen):
    nvml.install(monkeypatch, "GPU-a", "GPU-b", "GPU-c")
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert [gpu.uuid for gpu in gpus(environ)] == seen


def test_hidden_gpus_are_said_to_be_hidden(monkeypatch):
    nvml.install(monkeypatch, "GPU-a")
    reason = why_no_cuda({"CUDA_VISIBLE_DEVICES": ""})
    assert reason == "NVML reports no GPU that CUDA_VISIBLE_DEVICES shows"


def test_a_gpu_without_dask_cuda_is_no_cluster(monkeypatch):
    nvml.install(monkeypatch, "GPU-a")
    monkeypatch.setattr("curation.execution.cluster.gpus.find_spec", lambda _: None)
    assert why_no_cuda({}).startswith("dask-cuda is not installed")
