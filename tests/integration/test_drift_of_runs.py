"""pipelines/drift.py: what differs between two tierings, from their descriptions alone."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from run_files import REPOSITORY, documents, execute, write_jsonl

from curation.analysis.drift.compare import DriftSpec, plan
from curation.core.errors import ConfigError
from curation.execution import retier
from curation.execution.cluster.spec import ClusterSpec
from curation.stages.tiering import TieringSpec

SCRIPT = REPOSITORY / "pipelines" / "drift.py"
CONFIG = REPOSITORY / "configs" / "drift.toml"
OLD = Path(__file__).parents[1] / "golden" / "format-1" / "run"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose own thresholds weigh bytes, with a tiering `documents` that weighs documents."""
    folder = tmp_path_factory.mktemp("drift")
    write_jsonl(folder / "documents" / "0.jsonl", documents(120))
    model = {"kind": "fasttext", "name": "keep", "model": "embedded:models/worth-keeping", "label": "__label__keep"}
    tables = {
        "output": str(folder / "run"),
        "input": {"path": str(folder / "documents")},
        "classifier": [model],
        "cluster": {"kind": "cpu", "workers": 1},
    }
    assert execute(tables).code == 0
    spec = retier.RetierSpec(
        str(folder / "run"), "documents", TieringSpec(weights="documents"), ClusterSpec(kind="cpu", workers=1)
    )
    assert retier.retier(retier.plan(spec), Console(quiet=True)) == 0
    return folder / "run"


def drift(output, *settings):
    command = [sys.executable, SCRIPT, CONFIG, f"output={output}", *settings]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_break_that_nobody_foresaw_does_not_read_as_drift(tmp_path):
    breaking = (
        "import html, runpy, sys; html.escape = None; sys.argv = sys.argv[1:]; sys.path.insert(0, sys.argv.pop())"
    )
    code = f"{breaking}; runpy.run_path(sys.argv[0], run_name='__main__')"
    sides = [f"{side}={OLD / 'tierings' / 'default' / 'thresholds.json'}" for side in ("before", "after")]
    command = [sys.executable, "-c", code, SCRIPT, CONFIG, f"output={tmp_path}", *sides, SCRIPT.parent]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "TypeError" in done.stderr) == (3, True)


def test_a_run_has_not_drifted_from_its_own_tiering(run, tmp_path):
    done = drift(tmp_path / "out", f"before={run}", f"after={run}/tierings/default")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Nothing is past a limit.\n" in done.stdout
    found = json.loads((tmp_path / "out" / "drift.json").read_text())
    assert found["classifiers"][0]["psi"]["value"] == 0
    assert (tmp_path / "out" / "drift.html").read_text().startswith("<!DOCTYPE html>")


def test_what_is_past_a_limit_is_said_and_ends_with_1(run, tmp_path):
    settings = [f"before={run}", f"after={run}/tierings/documents", "limits.tier_share=0.0001"]
    done = drift(tmp_path, *settings)
    assert done.returncode == 1
    assert "past its limit: " in done.stdout
    assert "(limits.tier_share = 0.0001)" in done.stdout


def test_a_plan_names_both_sides_and_writes_nothing(run, tmp_path):
    done = drift(tmp_path / "out", f"before={run}", f"after={run}/tierings/default/thresholds.json", "--plan")
    assert done.stdout.splitlines() == [
        f"before: {run}, 120 documents, of keep",
        f"after: {run}/tierings/default/thresholds.json, thresholds alone, of keep",
        f"output: {tmp_path}/out",
    ]
    assert not (tmp_path / "out").exists()


def test_all_mistakes_are_said_at_once(tmp_path):
    done = drift(tmp_path, f"before={tmp_path}", "after=none.json", "limits.ks=0")
    assert done.returncode == 2
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["limits.ks", "before", "after"]


def test_a_tiering_of_an_earlier_version_says_how_it_gets_a_description(run):
    with pytest.raises(ConfigError, match=r"has no description: .* Run the command that formed it again"):
        plan(DriftSpec(str(OLD), str(run), "out"))


def test_without_rows_and_scores_a_run_can_still_be_compared(run, tmp_path):
    shutil.copytree(run / "tierings" / "default", tmp_path / "kept", ignore=shutil.ignore_patterns("tiers"))
    assert drift(tmp_path / "out", f"before={tmp_path}/kept", f"after={run}").returncode == 0
