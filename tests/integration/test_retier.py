"""pipelines/retier.py: other opinions beside a run's own, from its sidecars alone."""

import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from run_files import REPOSITORY, documents, execute, write_jsonl

from curation.core.errors import ConfigError
from curation.execution.cluster.spec import ClusterSpec
from curation.execution.retier import RetierSpec, plan, retier
from curation.stages.tiering import TieringSpec

WORKERS = ClusterSpec(kind="cpu", workers=1)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """The tables of a run with two classifiers over two files, and its directory, whose input and models are gone."""
    folder = tmp_path_factory.mktemp("retier")
    for number in range(2):
        write_jsonl(folder / "documents" / f"{number}.jsonl", documents(60, 60 * number))
    models = shutil.copytree(REPOSITORY / "curation" / "embedded" / "models", folder / "models")
    tables = {
        "output": str(folder / "run"),
        "input": {"path": str(folder / "documents"), "carry": ["url"]},
        "classifier": [
            {"kind": "fasttext", "name": name, "model": str(models / "worth-keeping"), "label": f"__label__{label}"}
            for name, label in (("keep", "keep"), ("rest", "rest"))
        ],
        "cluster": {"kind": "cpu", "workers": 1},
    }
    done = execute(tables)
    alone = execute(tables | {"output": str(folder / "alone"), "classifier": tables["classifier"][:1]})
    assert (done.code, alone.code) == (0, 0)
    shutil.rmtree(models)
    shutil.rmtree(folder / "documents")
    return SimpleNamespace(folder=done.folder, alone=alone.folder)


@pytest.fixture
def run(scored, tmp_path):
    """A copy of the run's directory."""
    return shutil.copytree(scored.folder, tmp_path / "run")


def form(run, name, **tiering):
    """Form a tiering; gives the exit code and what was printed."""
    text = StringIO()
    planned = plan(RetierSpec(str(run), name, TieringSpec(**tiering), WORKERS))
    code = retier(planned, Console(file=text, width=200))
    return SimpleNamespace(code=code, text=text.getvalue())


def tiers(run, name):
    """The bytes of the tiers of every shard."""
    return {path.name: path.read_bytes() for path in sorted(Path(run, "tierings", name, "tiers").iterdir())}


def frame(run, name):
    """The rows and their tiers."""
    rows = pd.concat(map(pd.read_parquet, sorted(Path(run, "rows").iterdir())), ignore_index=True)
    found = pd.concat(map(pd.read_parquet, sorted(Path(run, "tierings", name, "tiers").iterdir())), ignore_index=True)
    return rows.join(found.drop(columns="position"))


def test_equal_settings_give_the_bytes_of_the_runs_own_tiers(run):
    assert form(run, "again").code == 0
    assert tiers(run, "again") == tiers(run, "default")


def test_without_a_classifier_it_is_what_a_run_without_it_would_be(run, scored):
    assert form(run, "one", classifiers=("keep",)).code == 0
    assert tiers(run, "one") == tiers(scored.alone, "default")


def test_other_weights_move_the_cuts_to_their_quantiles(run):
    assert form(run, "documents", weights="documents", classifiers=("keep",)).code == 0
    buckets = frame(run, "documents")["keep_bucket"]
    scores = np.concatenate(
        [pd.read_parquet(path)["keep"] for path in sorted((run / "scores").glob("keep-*/*.parquet"))]
    )
    cuts = np.percentile(scores, np.arange(5, 100, 5), method="inverted_cdf").astype(np.float32)
    assert buckets.tolist() == np.digitize(scores, cuts).tolist()


def test_thresholds_of_another_run_are_taken_as_they_are(run, scored):
    frozen = scored.alone / "tierings" / "default" / "thresholds.json"
    assert form(run, "frozen", thresholds=str(frozen), classifiers=("keep",)).code == 0
    assert tiers(run, "frozen") == tiers(scored.alone, "default")


def test_the_same_command_again_changes_nothing(run):
    form(run, "again")
    before = {path: path.stat().st_mtime_ns for path in (run / "tierings" / "again" / "tiers").iterdir()}
    assert form(run, "again").code == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_tiering_never_becomes_another(run):
    form(run, "mine", weights="documents")
    before = tiers(run, "mine")
    with pytest.raises(ConfigError, match="is a tiering of other settings, and none is overwritten"):
        form(run, "mine", weights="tokens")
    assert tiers(run, "mine") == before


def test_frozen_thresholds_that_changed_are_another_tiering(run, scored, tmp_path):
    frozen = shutil.copy(scored.alone / "tierings" / "default" / "thresholds.json", tmp_path / "frozen.json")
    settings = {"thresholds": str(frozen), "classifiers": ("keep",)}
    form(run, "frozen", **settings)
    shutil.copy(scored.folder / "tierings" / "default" / "thresholds.json", frozen)
    with pytest.raises(ConfigError, match="is a tiering of other thresholds"):
        form(run, "frozen", **settings)


def test_the_runs_own_tiering_is_left_alone(run):
    with pytest.raises(ConfigError, match="'default' is the run's own tiering"):
        form(run, "default")


def test_all_mistakes_are_said_at_once(run):
    with pytest.raises(ConfigError) as refused:
        form(run, "a/b", classifiers=("nobody",), thresholds="none.json")
    assert len(refused.value.mistakes) == 3


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is no directory of a run"):
        form(tmp_path, "mine")


def test_a_shard_without_scores_is_waited_for_or_left_out_and_marked(run):
    next((run / "scores").glob("keep-*/0.jsonl.parquet")).unlink()
    waits = form(run, "part")
    assert (waits.code, "1 shard of this run wait" in waits.text) == (1, True)
    assert form(run, "part", allow_partial=True).code == 1
    assert '"partial":true' in (run / "tierings" / "part" / "thresholds.json").read_text().replace(" ", "")
    assert list(tiers(run, "part")) == ["1.jsonl.parquet"]


def test_two_models_of_one_name_are_told_apart_by_what_they_have_scored(run):
    (folder,) = (run / "scores").glob("keep-*")
    shutil.copytree(folder, folder.with_name("keep-00000000"))
    with pytest.raises(ConfigError, match="'keep' has scored as keep-00000000, keep-"):
        form(run, "mine")
    (run / "scores" / "keep-00000000" / "0.jsonl.parquet").unlink()
    assert form(run, "mine").code == 0


def test_the_script_forms_what_its_config_says(run):
    config = REPOSITORY / "configs" / "retier.toml"
    command = [sys.executable, str(REPOSITORY / "pipelines" / "retier.py"), str(config), f"run={run}", "name=mine"]
    done = subprocess.run(
        [*command, 'tiering.classifiers=["keep"]', "cluster.workers=1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert set(frame(run, "mine")["tier"]) <= {"high", "medium", "low"}
    assert "not in the ensemble" in done.stdout
