"""Every block of README runs, in the order of the page, as somebody would type it after `make demo`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from run_files import REPOSITORY

INSTALLS = ("git clone", "make ", "source ")  # continuous integration does these
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", (REPOSITORY / "README.md").read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A folder that looks like the repository, in which `runs/` is empty."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("configs", "curation", "pipelines"):
        (folder / name).symlink_to(REPOSITORY / name)
    return folder


def say(language, block):
    """The command that runs a block."""
    if language == "python":
        return [sys.executable, "-c", block]
    lines = [line for line in block.splitlines() if not line.startswith(INSTALLS)]
    return ["bash", "-ec", "\n".join(lines)]


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_every_block_of_readme_runs(checkout, number):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        say(*BLOCKS[number]), cwd=checkout, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_blocks_show_scoring_a_stage_training_and_a_mix():
    shown = "".join(block for _, block in BLOCKS)
    assert [word in shown for word in ("run_ensemble.py", "train.py", "Score((", "write_mix.py")] == [True] * 4
