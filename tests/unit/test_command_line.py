"""What the scripts in pipelines/ have in common."""

import signal
import subprocess
import sys

import pytest
from run_files import REPOSITORY

PIPELINES = str(REPOSITORY / "pipelines")


def ended(code):
    """How a script ends that does this after its first import."""
    script = f"import os, signal, sys\nsys.path.insert(0, {PIPELINES!r})\nimport command_line\n{code}"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_while_a_script_is_still_importing_ends_it_as_stopped(number):
    done = ended(f"os.kill(os.getpid(), {int(number)})")
    assert (done.returncode, done.stderr) == (75, "")


def test_a_signal_ends_a_script_with_its_last_words():
    done = ended("command_line.end_with(lambda: os.kill(os.getpid(), signal.SIGTERM), 'Kept.')")
    assert (done.returncode, done.stderr) == (75, "Kept.\n")


def test_a_mistake_is_one_message():
    raising = "def main(): raise command_line.CurationError('output: is empty.')"
    done = ended(f"{raising}\ncommand_line.end_with(main)")
    assert (done.returncode, done.stderr) == (2, "output: is empty.\n")


def test_a_config_in_a_folder_with_an_equals_sign_is_a_config(tmp_path):
    config = tmp_path / "quality=high" / "run.toml"
    config.parent.mkdir()
    config.write_bytes((REPOSITORY / "configs" / "embedded.toml").read_bytes())
    command = [sys.executable, f"{PIPELINES}/run_ensemble.py", str(config), f"output={tmp_path}/run", "--plan"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert (done.returncode, done.stderr) == (0, "")
