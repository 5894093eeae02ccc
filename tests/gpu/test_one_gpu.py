"""A run on a LocalCUDACluster of one GPU: found by itself, the same bytes as on a scheduler that is there."""

import subprocess
import sys

import pytest
import torch
from run_files import REPOSITORY, contents

from curation.execution.cluster.connect import connect
from curation.execution.cluster.gpus import gpus, own_gpu
from curation.execution.cluster.spec import ClusterSpec
from curation.inference.replica import ScoringSpec

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here"),
]


@pytest.fixture
def one_gpu(monkeypatch):
    """The first GPU alone."""
    pytest.importorskip("dask_cuda")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus()[0].uuid)


def run(output, *overrides):
    """The embedded config through the script."""
    command = [
        sys.executable,
        REPOSITORY / "pipelines" / "run_ensemble.py",
        "workers=0",
        f"output={output}",
        *overrides,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("one_gpu")
def test_auto_is_one_worker_on_its_gpu():
    with connect(ClusterSpec(), ScoringSpec()) as client:
        assert list(client.run(own_gpu).values()) == [gpus()[0].uuid]


@pytest.mark.usefixtures("one_gpu")
@pytest.mark.parametrize("frame", ["pandas", "cudf"])
def test_a_run_end_to_end_has_the_bytes_of_one_on_an_existing_cluster(tmp_path, frame):
    if frame == "cudf":
        pytest.importorskip("cudf")
    own = run(tmp_path / "own", "kind=cuda", f"input.frame={frame}")
    assert own.returncode == 0, own.stdout + own.stderr
    assert "cluster: cuda, 1 worker, each with a GPU" in own.stdout
    with connect(ClusterSpec(kind="cuda"), ScoringSpec()) as client:
        there = run(tmp_path / "there", "kind=existing", f"address={client.scheduler.address}", "scoring.device=cuda")
    assert there.returncode == 0, there.stdout + there.stderr
    assert contents(tmp_path / "own") == contents(tmp_path / "there")


@pytest.mark.usefixtures("one_gpu")
def test_an_existing_cluster_with_gpus_is_not_scored_on_unasked(tmp_path):
    with connect(ClusterSpec(kind="cuda"), ScoringSpec()) as client:
        done = run(tmp_path / "run", "kind=existing", f"address={client.scheduler.address}")
    assert done.returncode == 2
    assert "say whether they are used: scoring.device=cuda, or scoring.device=cpu" in done.stderr
