"""pipelines/retier.py: other opinions beside a run's own, from its sidecars alone."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from run_files import REPOSITORY, documents, execute, wait_until, write_jsonl

from curation.classifiers import tiny_bert
from curation.core.errors import ConfigError
from curation.data.sidecar import SidecarWriter, read_columns, read_record
from curation.execution import calibrating
from curation.execution.cluster.spec import ClusterSpec
from curation.execution.retier import RetierSpec, plan, retier
from curation.stages.tiering import TieringSpec
from curation.statistics import weighted_quantile

LANGUAGES = ("en", "en", "zh", None)
WORKERS = ClusterSpec(kind="cpu", workers=1)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """The tables of a run with two classifiers over two files, and its directory, whose input and models are gone."""
    folder = tmp_path_factory.mktemp("retier")
    for number in range(2):
        rows = [row | {"lang": LANGUAGES[place % 4]} for place, row in enumerate(documents(60, 60 * number))]
        write_jsonl(folder / "documents" / f"{number}.jsonl", rows)
    models = shutil.copytree(REPOSITORY / "curation" / "embedded" / "models", folder / "models")
    tables = {
        "output": str(folder / "run"),
        "input": {"path": str(folder / "documents"), "carry": ["url", "lang"]},
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
def unused_address():
    """The address of a port that is held and at which nobody answers."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield f"tcp://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def run(scored, tmp_path):
    """A copy of the run's directory."""
    return shutil.copytree(scored.folder, tmp_path / "run")


def form(run, name, workers=WORKERS, **tiering):
    """Form a tiering; gives the exit code and what was printed."""
    text = StringIO()
    planned = plan(RetierSpec(str(run), name, TieringSpec(**tiering), workers))
    code = retier(planned, Console(file=text, width=200))
    return SimpleNamespace(code=code, text=text.getvalue())


def tiers(run, name):
    """The bytes of the tiers of every shard."""
    return {path.name: path.read_bytes() for path in sorted(Path(run, "tierings", name, "tiers").iterdir())}


def description(run, name):
    """The path of the description of a tiering."""
    return run / "tierings" / name / "description.json"


def frame(run, name):
    """The rows and their tiers."""
    rows = pd.concat(map(pd.read_parquet, sorted(Path(run, "rows").iterdir())), ignore_index=True)
    found = pd.concat(map(pd.read_parquet, sorted(Path(run, "tierings", name, "tiers").iterdir())), ignore_index=True)
    scores = [
        pd.concat(map(pd.read_parquet, sorted(Path(run, "scores").glob(f"{name}-*/*.parquet"))), ignore_index=True)[
            name
        ]
        for name in ("keep", "rest")
    ]
    return pd.concat([rows, *scores, found.drop(columns="position")], axis=1)


def cuts_of(found, weights="documents"):
    """The cuts of rows, by sorting."""
    sizes = found["n_bytes"] if weights == "bytes" else np.ones(len(found), int)
    return weighted_quantile(found["keep"], sizes, range(5, 100, 5))


def test_equal_settings_give_the_bytes_of_the_runs_own_tiers_and_of_their_description(run):
    assert form(run, "again", ClusterSpec(kind="cpu", workers=2)).code == 0
    assert tiers(run, "again") == tiers(run, "default")
    assert description(run, "again").read_bytes() == description(run, "default").read_bytes()


def test_a_description_counts_the_documents_of_every_tier(run):
    found = frame(run, "default")
    told = json.loads(description(run, "default").read_text())
    own = {tier: [len(rows), rows["n_bytes"].sum(), rows["n_tokens"].sum()] for tier, rows in found.groupby("tier")}
    held = {each["name"]: [each["documents"], each["bytes"], each["tokens"]] for each in told["tiers"]}
    assert {name: sums for name, sums in held.items() if sums[0]} == own
    assert [each["name"] for each in told["classifiers"]] == ["keep", "rest"]


def test_a_description_that_is_missing_is_made_of_the_tiers_that_are_there(run):
    form(run, "mine", keep="rest < 0.5")
    before, made = tiers(run, "mine"), description(run, "mine").read_bytes()
    description(run, "mine").unlink()
    (run / "tierings" / "mine" / "tiers" / "1.jsonl.parquet").unlink()
    times = (run / "tierings" / "mine" / "tiers" / "0.jsonl.parquet").stat().st_mtime_ns
    assert form(run, "mine", keep="rest < 0.5").code == 0
    assert (tiers(run, "mine"), description(run, "mine").read_bytes()) == (before, made)
    assert (run / "tierings" / "mine" / "tiers" / "0.jsonl.parquet").stat().st_mtime_ns == times


def test_there_is_no_description_where_a_shard_cannot_be_tiered(run):
    url = str(next((run / "scores").glob("keep-*/0.jsonl.parquet")))
    table, record = read_columns(url), read_record(url)
    with SidecarWriter(url, table.schema) as writer:
        writer.write(table.slice(1))
        writer.finish(record)
    frozen = str(run / "tierings" / "default" / "thresholds.json")
    failed = form(run, "mine", thresholds=frozen)
    assert (failed.code, "its rows are not those of rows/" in failed.text) == (1, True)
    assert not description(run, "mine").exists()


def test_thresholds_by_group_are_described_by_what_is_near_each_groups_cuts(run):
    form(run, "by-language", group="lang", classifiers=("keep",))
    (told,) = json.loads(description(run, "by-language").read_text())["classifiers"]
    assert (told["group"], told["cuts"]) == ("lang", [])
    known = json.loads((run / "tierings" / "by-language" / "thresholds.json").read_text())["classifiers"]["keep"]
    found = frame(run, "by-language")
    near = 0
    for language, table in known.items():
        cuts = np.array([*table["cuts"].values()])
        widths = np.diff(cuts) / 10
        low, high = cuts - np.append(widths[0], widths), cuts + np.append(widths, widths[-1])
        scores = found["keep"][found["lang"].fillna("") == language].to_numpy(np.float64)
        is_near = (scores[:, None] >= low) & (scores[:, None] <= high)
        near += is_near.any(axis=1).sum()
    assert sum(told["near_cuts"]["documents"]) >= near > 0


def test_without_a_classifier_it_is_what_a_run_without_it_would_be(run, scored):
    assert form(run, "one", classifiers=("keep",)).code == 0
    assert tiers(run, "one") == tiers(scored.alone, "default")


def test_other_weights_move_the_cuts_to_their_quantiles(run):
    assert form(run, "documents", weights="documents", classifiers=("keep",)).code == 0
    found = frame(run, "documents")
    assert found["keep_bucket"].tolist() == np.digitize(found["keep"], cuts_of(found)).tolist()


@pytest.mark.parametrize("weights", ["documents", "bytes"])
def test_every_value_of_a_group_has_cuts_of_its_own(run, weights):
    assert form(run, "by-language", weights=weights, classifiers=("keep",), group="lang").code == 0
    found = frame(run, "by-language")
    for language in ("en", "zh", None):
        here = found[found["lang"].isna() if language is None else found["lang"] == language]
        assert here["keep_bucket"].tolist() == np.digitize(here["keep"], cuts_of(here, weights)).tolist()


def test_the_groups_may_be_the_labels_of_a_classifier(tmp_path, models, client):
    tiny_bert.write(tmp_path / "topic", labels=("law", "art", "news"))
    write_jsonl(tmp_path / "documents" / "0.jsonl", list(documents(60)))
    done = execute(
        {
            "output": str(tmp_path / "run"),
            "input": {"path": str(tmp_path / "documents")},
            "classifier": [models["keep"], {"kind": "encoder", "name": "topic", "model": str(tmp_path / "topic")}],
            "tiering": {"classifiers": ["keep"], "group": "topic", "weights": "documents"},
            "cluster": {"kind": "existing", "address": client.scheduler.address},
        }
    )
    assert done.code == 0
    topics, keep = (
        pd.read_parquet(next((done.folder / "scores").glob(f"{name}-*/0.jsonl.parquet"))) for name in ("topic", "keep")
    )
    found = pd.read_parquet(done.folder / "tierings" / "default" / "tiers" / "0.jsonl.parquet")
    assert len(set(topics["topic"])) > 1
    for topic in topics["topic"].unique():
        here = keep["keep"][topics["topic"] == topic]
        cuts = weighted_quantile(here, np.ones(len(here), int), range(5, 100, 5))
        assert found["keep_bucket"][here.index].tolist() == np.digitize(here, cuts).tolist()


def test_a_column_of_too_many_values_is_no_group(run, monkeypatch):
    monkeypatch.setattr(calibrating, "MOST_GROUPS", 5)
    refused = form(run, "by-site", group="url")
    assert (refused.code, refused.text) == (
        1,
        "tiering.group: 'url' has more than 5 values; thresholds of so small groups mean nothing.\n",
    )


def test_no_more_values_are_gathered_than_tell_that_there_are_too_many(run, monkeypatch):
    monkeypatch.setattr(calibrating, "MOST_GROUPS", 5)
    planned = plan(RetierSpec(str(run), "by-site", TieringSpec(group="url"), WORKERS)).tiering
    shards = tuple(each.shard.name for each in plan(RetierSpec(str(run), "mine")).complete)
    task = calibrating.PassTask(planned.layout.root, planned.scores[0], "", planned.group, shards)
    assert len(calibrating.first_pass(task)) == 6


def test_one_that_is_stopped_before_there_are_workers_says_so(run, unused_address):
    planned = plan(RetierSpec(str(run), "mine", cluster=ClusterSpec(kind="existing", address=unused_address)))

    def stop():
        wait_until(lambda: list((run / "log").glob("2.jsonl")))
        os.kill(os.getpid(), signal.SIGTERM)

    text = StringIO()
    thread = threading.Thread(target=stop)
    thread.start()
    code = retier(planned, Console(file=text, width=200))
    thread.join()
    assert (code, text.getvalue()) == (75, "Stopped; what was finished is kept. The same command goes on.\n")


def test_thresholds_by_group_serve_another_tiering_and_only_for_the_values_that_they_know(run, tmp_path):
    form(run, "by-language", group="lang", classifiers=("keep",))
    path = run / "tierings" / "by-language" / "thresholds.json"
    known = json.loads(path.read_text())
    assert (known["format"], known["group"], sorted(known["classifiers"]["keep"])) == (2, "lang", ["", "en", "zh"])
    settings = {"group": "lang", "classifiers": ("keep",)}
    assert form(run, "same", thresholds=str(path), **settings).code == 0
    assert tiers(run, "same") == tiers(run, "by-language")
    del known["classifiers"]["keep"]["zh"]
    (tmp_path / "less.json").write_text(json.dumps(known))
    form(run, "less", thresholds=str(tmp_path / "less.json"), **settings)
    found = frame(run, "less")
    assert set(found["tier"][found["lang"] == "zh"]) == {"unscored"}
    assert "unscored" not in set(found["tier"][found["lang"] != "zh"])


def test_a_rule_rejects_documents_whatever_their_quality(run):
    form(run, "free", classifiers=("keep",))
    said = form(run, "ruled", classifiers=("keep",), keep="rest < 0.5 and lang == 'en' and n_bytes > 80")
    assert said.code == 0
    free, ruled = frame(run, "free"), frame(run, "ruled")
    assert "rejected" in said.text
    kept = (ruled["rest"] < 0.5) & (ruled["lang"] == "en") & (ruled["n_bytes"] > 80)
    assert kept.any()
    assert ruled["tier"].tolist() == free["tier"].where(kept, "rejected").tolist()
    assert ruled["quality"].tolist() == free["quality"].tolist()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"group": "topic"}, r"group: 'topic' is neither carried nor a label .* \['url', 'lang'\]"),
        ({"keep": "topic == 'law'"}, "keep: .* cannot be evaluated over n_bytes, n_chars, .*'topic' is not defined"),
        ({"keep": "quality"}, "keep: .* it does not give true or false for each row"),
    ],
)
def test_a_group_or_a_rule_of_columns_that_are_not_there_is_refused(run, settings, words):
    with pytest.raises(ConfigError, match=words):
        form(run, "mine", **settings)


def test_thresholds_without_groups_are_refused_where_groups_are_wanted(run):
    frozen = str(run / "tierings" / "default" / "thresholds.json")
    with pytest.raises(ConfigError, match=r"is 'lang', and the thresholds in .* were found by ''"):
        form(run, "mine", group="lang", thresholds=frozen)


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


def test_a_damaged_file_of_scores_hides_no_classifier(run):
    (first, second) = sorted((run / "scores").glob("keep-*/*.parquet"))
    first.write_bytes(b"no Parquet")
    planned = plan(RetierSpec(str(run), "mine"))
    assert [each.name for each in planned.tiering.scores] == ["keep", "rest"]
    second.write_bytes(b"no Parquet")
    with pytest.raises(ConfigError, match="no file of scores/keep-"):
        plan(RetierSpec(str(run), "mine"))


def test_the_script_forms_what_its_config_says(run):
    config = REPOSITORY / "configs" / "retier.toml"
    command = [sys.executable, str(REPOSITORY / "pipelines" / "retier.py"), str(config), f"run={run}", "name=mine"]
    done = subprocess.run(
        [*command, 'tiering.classifiers=["keep"]', "cluster.workers=1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert set(frame(run, "mine")["tier"]) <= {"high", "medium", "low"}
    assert "not in the ensemble" in done.stdout
