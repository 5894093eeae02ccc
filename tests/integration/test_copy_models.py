"""pipelines/fetch_models.py --from: bundles of a shared folder onto a node's own disk, without a hub."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from run_files import REPOSITORY, wait_until

from curation.classifiers import fetch, source
from curation.classifiers.bundle import write_bundle
from curation.classifiers.encoder import Encoder
from curation.core.errors import ConfigError, ModelError

SCRIPT = REPOSITORY / "pipelines" / "fetch_models.py"
MODEL, REVISION = "acme/tiny-edu", "a" * 40
NAME = f"acme--tiny-edu@{REVISION}"
LARGE_BYTES = 100_000_000


@pytest.fixture
def shared(tmp_path):
    """A folder of bundles with one in it."""
    folder = tmp_path / "shared" / NAME
    folder.mkdir(parents=True)
    Encoder.tiny(folder)
    write_bundle(folder, MODEL, REVISION, "apache-2.0")
    return folder.parent


@pytest.fixture
def large(shared):
    """The same folder with a bundle that takes a while to copy."""
    with (shared / NAME / "README.md").open("wb") as file:
        file.truncate(LARGE_BYTES)
    write_bundle(shared / NAME, MODEL, REVISION, "apache-2.0")
    return shared


@pytest.fixture
def own(tmp_path):
    """Where the node wants it."""
    return tmp_path / "own"


@pytest.fixture
def needs(own):
    return fetch.wanted([Encoder("edu", MODEL)], str(own))


def start(shared, own):
    """The script as a process that could reach no hub."""
    config = shared.parent / "config.json"
    table = {"kind": "encoder", "name": "edu", "model": MODEL}
    config.write_text(json.dumps({"output": "runs/x", "input": {"path": "."}, "classifier": [table]}))
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(config), "--from", str(shared), "--into", str(own)],
        env=os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def left_in(folder):
    return sorted(path.name for path in folder.glob("*"))


def test_a_copy_is_found_and_the_config_is_told_how_to_name_it(shared, own):
    process = start(shared, own)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert f"{MODEL}: copied into {own / NAME}" in out
    assert f'revision = "{REVISION}"\nbundles = "{own}"' in out
    assert source.resolve(MODEL, bundles=str(own)) == own / NAME


def test_processes_that_copy_at_once_leave_one_sound_bundle(large, own):
    processes = [start(large, own) for _ in range(2)]
    ends = [process.communicate(timeout=120) for process in processes]
    assert [(process.returncode, err) for process, (_, err) in zip(processes, ends, strict=True)] == [(0, "")] * 2
    assert left_in(own) == [NAME]
    assert source.resolve(MODEL, bundles=str(own)) == own / NAME


def test_who_comes_second_takes_what_the_first_has_copied(shared, own, needs, monkeypatch):
    copyfile = shutil.copyfile

    def overtaken(original, target):
        monkeypatch.setattr(shutil, "copyfile", copyfile)
        fetch.copy(needs, str(shared), lambda _: None)
        return copyfile(original, target)

    monkeypatch.setattr(shutil, "copyfile", overtaken)
    assert fetch.copy(needs, str(shared), lambda _: None) == {needs[0]: own / NAME}
    assert left_in(own) == [NAME]


def test_a_copy_that_was_killed_is_no_bundle_and_the_next_one_makes_it(large, own):
    process = start(large, own)
    wait_until(lambda: left_in(own))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert NAME not in left_in(own)
    with pytest.raises(ModelError, match="neither a path that exists nor in the bundles folder"):
        source.resolve(MODEL, bundles=str(own))
    again = start(large, own)
    out, _ = again.communicate(timeout=120)
    assert (again.returncode, "is left over from a command that was killed" in out) == (0, True)
    assert source.resolve(MODEL, bundles=str(own)) == own / NAME


def test_a_copy_that_differs_from_what_was_fetched_is_not_kept(shared, own, needs, monkeypatch):
    copyfile = shutil.copyfile

    def losing_a_byte(original, target):
        copyfile(original, target)
        if target.name == "model.safetensors":
            os.truncate(target, target.stat().st_size - 1)

    monkeypatch.setattr(shutil, "copyfile", losing_a_byte)
    with pytest.raises(ModelError, match=r"is not what was fetched: model\.safetensors has sha256"):
        fetch.copy(needs, str(shared), lambda _: None)
    assert left_in(own) == []


def test_a_damaged_original_is_not_copied(shared, own, needs):
    (shared / NAME / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"does not hold what was fetched: config\.json is missing"):
        fetch.copy(needs, str(shared), lambda _: None)
    assert left_in(own) == []


def test_a_bundle_that_is_there_is_not_copied_again(shared, own, needs):
    fetch.copy(needs, str(shared), lambda _: None)
    said = []
    fetch.copy(needs, str(shared.parent / "gone"), said.append)
    assert said == [f"{MODEL}: is complete in {own / NAME}, nothing was copied"]
