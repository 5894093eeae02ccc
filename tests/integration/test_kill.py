"""Killed at any moment, the same command finishes the run: same bytes, no row twice, none missing."""

import os
import random
import signal
import subprocess
import time

import psutil
import pytest
from run_files import SENTENCES, call, command, contents, documents, execute, write_jsonl

WAIT_S = 240


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Forty files of sixty documents and a row without a text."""
    folder = tmp_path_factory.mktemp("large")
    for number in range(40):
        write_jsonl(folder / f"part-{number:02}.jsonl", [*documents(60, 60 * number), {"id": "no text"}])
    return folder


def tables_of(folder, models, run, cluster):
    return {
        "output": str(run),
        "input": {"path": str(folder), "carry": ["url"]},
        "classifier": [models["edu"], models["other"], models["keep"]],
        "cluster": cluster,
        "documents": True,
    }


@pytest.fixture
def large(folder, models, tmp_path):
    """Tables of a run over them that lasts some seconds, on workers of its own."""
    return tables_of(folder, models, tmp_path / "run", {"workers": 2})


@pytest.fixture(scope="module")
def undisturbed(folder, models, client, tmp_path_factory):
    """What the run's files hold when nothing happens to it."""
    cluster = {"kind": "existing", "address": client.scheduler.address}
    return contents(execute(tables_of(folder, models, tmp_path_factory.mktemp("undisturbed"), cluster)).folder)


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


def num_files(run, below):
    """The files of one kind that are there."""
    return sum(path.is_file() for path in (run / below).rglob("*.parquet"))


def num_scored(run):
    return num_files(run, "rows")


def finish(process):
    text, _ = process.communicate(timeout=WAIT_S)
    return process.returncode, text


@pytest.mark.parametrize("below", ["rows", "tierings", "documents"])
def test_a_run_killed_at_random_moments_ends_with_the_bytes_of_an_undisturbed_one(large, undisturbed, tmp_path, below):
    run = tmp_path / "run"
    process = start(large, tmp_path)
    goal = random.Random(below).randrange(1, 38)
    wait_for(process, lambda: num_files(run, below) >= goal)
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
