"""Killed at any moment, the same command finishes the run: same bytes, no row twice, none missing."""

import os
import random
import signal
import subprocess
import time

import psutil
import pytest
from conftest import SENTENCES, call, command, contents, documents, execute, write_jsonl

WAIT_S = 240


@pytest.fixture
def large(tables, corpus):
    """Tables of a run that lasts some seconds: 40 files of 150 documents, on workers of its own."""
    for number in range(40):
        write_jsonl(corpus / f"part-{number:02}.jsonl", documents(150, 150 * number))
    return {key: value for key, value in tables.items() if key != "cluster"} | {"cluster": {"workers": 2}}


@pytest.fixture
def undisturbed(large, tables, tmp_path):
    """What the run's files hold when nothing happens to it."""
    return contents(execute(large | {"output": str(tmp_path / "undisturbed"), "cluster": tables["cluster"]}).folder)


def start(tables, tmp_path):
    """Start the script in a process group of its own."""
    return subprocess.Popen(
        command(tables, tmp_path / "config.json"), stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for(process, condition):
    """Wait until a condition holds; fail when the process ends before it does."""
    until = time.monotonic() + WAIT_S
    while not condition():
        assert process.poll() is None, f"the run ended early: {process.stdout.read()}"
        assert time.monotonic() < until
        time.sleep(0.01)


def num_scored(run):
    """The files of rows that are there."""
    folder = run / "rows"
    return len(list(folder.iterdir())) if folder.exists() else 0


def finish(process):
    text, _ = process.communicate(timeout=WAIT_S)
    return process.returncode, text


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_run_killed_at_random_moments_ends_with_the_bytes_of_an_undisturbed_one(large, undisturbed, tmp_path, seed):
    moments = random.Random(seed)
    run = tmp_path / "run"
    process = start(large, tmp_path)
    wait_for(process, lambda goal=moments.randrange(1, 38): num_scored(run) >= goal)
    os.killpg(process.pid, signal.SIGKILL)
    finish(process)
    done = call(large, tmp_path / "config.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert contents(run) == undisturbed
    assert not list((run / ".scratch").iterdir())


def test_a_killed_worker_costs_nothing_but_time(large, undisturbed, tmp_path):
    run = tmp_path / "run"
    process = start(large, tmp_path)
    wait_for(process, lambda: num_scored(run) >= 3)
    workers = [
        each for each in psutil.Process(process.pid).children(recursive=True) if "spawn_main" in str(each.cmdline())
    ]
    assert len(workers) == 2
    workers[0].kill()
    code, text = finish(process)
    assert (code, contents(run)) == (0, undisturbed), text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_run_between_shards_and_the_same_command_goes_on(large, undisturbed, tmp_path, number):
    run = tmp_path / "run"
    process = start(large, tmp_path)
    wait_for(process, lambda: num_scored(run) >= 2)
    os.killpg(process.pid, number)
    code, text = finish(process)
    assert code == 75, text
    assert "Run the same command again to go on." in text
    assert 2 <= num_scored(run) < 40
    done = call(large, tmp_path / "config.json")
    assert (done.returncode, contents(run)) == (0, undisturbed)


def test_a_second_run_on_the_same_directory_is_refused_and_told_who_holds_it(large, tmp_path):
    process = start(large, tmp_path)
    wait_for(process, lambda: num_scored(tmp_path / "run") >= 1)
    second = call(large, tmp_path / "config.json")
    os.killpg(process.pid, signal.SIGKILL)
    finish(process)
    assert second.returncode == 2
    assert f"process {process.pid} on " in second.stderr
    assert SENTENCES[0] not in second.stderr
