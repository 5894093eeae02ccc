"""A real Slurm of two nodes on this machine, jobs on it, and a corpus that keeps four workers busy for a while."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from run_files import command, contents, tiny_classifiers
from slurm_jobs import corpus_of, tables_of

SLURM = Path(__file__).parent / "slurm.sh"


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """The Slurm; every client finds it by its environment."""
    if missing := [name for name in ("slurmctld", "slurmd", "munged", "sbatch") if shutil.which(name) is None]:
        pytest.skip(f"Slurm is not installed here: no {', '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("Slurm is started as root, and these tests do not run as root")
    folder = tmp_path_factory.mktemp("slurm")
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    subprocess.run([SLURM, "up", folder], check=True)
    yield folder
    subprocess.run([SLURM, "down", folder], check=True)
    del os.environ["SLURM_CONF"]


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Tables of tiny classifiers by name."""
    return tiny_classifiers(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Sixty files of a hundred documents."""
    return corpus_of(tmp_path_factory.mktemp("corpus"), 60, 100)


@pytest.fixture
def tables(slurm, corpus, models, tmp_path):  # noqa: ARG001 - it has to be up
    """That config for the usual corpus."""
    return tables_of(corpus, models, tmp_path / "run")


@pytest.fixture(scope="session")
def undisturbed(corpus, models, tmp_path_factory):
    """What its run directory holds when nothing happens to it, on this machine's own cores."""
    folder = tmp_path_factory.mktemp("undisturbed")
    tables = tables_of(corpus, models, folder / "run") | {"cluster": {"kind": "cpu", "workers": 2}}
    subprocess.run(command(tables, folder / "config.json"), check=True, capture_output=True)
    return contents(folder / "run")
