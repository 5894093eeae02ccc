"""pipelines/plan_mix.py and write_mix.py on scored runs: what is supply, and what is written of a plan."""

import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import datasets
import pandas as pd
import pytest
from rich.console import Console
from run_files import REPOSITORY, documents, execute, wait_until, write_jsonl

from curation import config
from curation.classifiers import tiny_bert
from curation.core.errors import ConfigError
from curation.data.layout import Layout
from curation.data.shards import read_shards, write_shards
from curation.execution import lock
from curation.execution.cluster.spec import ClusterSpec
from curation.execution.retier import RetierSpec, retier
from curation.execution.retier import plan as plan_retier
from curation.mixing import write as writing
from curation.mixing.folder import keep
from curation.mixing.plan import plan
from curation.mixing.spec import CountedSupply, Limit, MixSpec, Phase, RunSupply
from curation.stages.tiering import TieringSpec

LANGUAGES = ("en", "en", "zh", None)


@pytest.fixture(scope="module")
def scored(tmp_path_factory, client):
    """Two runs over four files each, with a classifier of labels, blank rows and rows that are not selected."""
    folder = tmp_path_factory.mktemp("mix")
    tiny_bert.write(folder / "topic", labels=("law", "sport"), seed=3)
    keep_model = str(REPOSITORY / "curation" / "embedded" / "models" / "worth-keeping")
    for run in ("first", "second"):
        for number in range(4):
            start = 60 * number + (1_000 if run == "second" else 0)
            rows = [row | {"lang": LANGUAGES[place % 4]} for place, row in enumerate(documents(60, start))]
            rows += [{"id": "blank", "text": " ", "lang": "en"}, {"id": "other", "text": "Out of here.", "lang": "xx"}]
            write_jsonl(folder / run / "documents" / f"{number}.jsonl", [*rows, {"id": "no text"}])
        done = execute(
            {
                "output": str(folder / run / "run"),
                "input": {"path": str(folder / run / "documents"), "carry": ["lang"], "where": "lang != 'xx'"},
                "classifier": [
                    {"kind": "fasttext", "name": "keep", "model": keep_model, "label": "__label__keep"},
                    {"kind": "encoder", "name": "topic", "model": str(folder / "topic")},
                ],
                "tiering": {"classifiers": ["keep"]},
                "cluster": {"kind": "existing", "address": client.scheduler.address},
                "documents": run == "second",
            }
        )
        assert done.code in (0, 1), done.text
    return folder


@pytest.fixture
def runs(scored, tmp_path):
    """A copy of them, whose input may be changed."""
    folder = shutil.copytree(scored, tmp_path / "runs")
    for run in folder.glob("*/run"):
        url = str(run / "shards.parquet")
        shards = [replace(each, url=str(run.parent / "documents" / each.relative)) for each in read_shards(url)]
        write_shards(url, shards)
    return folder


@pytest.fixture
def cluster(client):
    return ClusterSpec(kind="existing", address=client.scheduler.address)


def frame(run, tiering="default"):
    """Every row of a run with its tier, quality and label."""

    def table(pattern):
        return pd.concat(map(pd.read_parquet, sorted(Path(run).glob(pattern))), ignore_index=True)

    rows = table("rows/*.parquet").join(table(f"tierings/{tiering}/tiers/*.parquet")[["tier", "quality"]])
    return rows.join(table("scores/topic-*/*.parquet")["topic"])


def supplies(*runs, **more):
    """A mix of a hundred tokens from runs."""
    return MixSpec("out", (Phase("1", 100),), run=runs, **more)


def counts(spec):
    return {each.name: (each.num_documents, each.num_tokens, each.num_bytes) for each in plan(spec).sources}


def expected(found, by, run="first"):
    """Documents, tokens and bytes of every tier and value."""
    keys = ["tier", *by]
    known = found[(found["state"] == "ok") & ~found["tier"].isin(["unscored", "rejected"])]
    named = known.assign(**{key: known[key].astype("str").fillna("none") for key in keys})
    sums = named.groupby(keys).agg(documents=("id", "size"), tokens=("n_tokens", "sum"), size=("n_bytes", "sum"))
    names = ["/".join((run, *(key if isinstance(key, tuple) else (key,)))) for key in sums.index]
    return dict(zip(names, sums.itertuples(index=False, name=None), strict=True))


@pytest.mark.parametrize("by", [(), ("lang",), ("topic",), ("quality",), ("lang", "topic", "quality")])
def test_the_supply_of_a_run_is_told_by_tier_carried_column_label_and_quality(scored, by):
    run = scored / "first" / "run"
    assert counts(supplies(RunSupply(str(run), "first", by=by))) == expected(frame(run), by)


def test_sources_have_names_of_their_own_whatever_their_values(client, tmp_path):
    values = ["a/b", "a", "none", None, "50%", "%2F"]
    rows = [row | {"topic": values[place % 6]} for place, row in enumerate(documents(60))]
    write_jsonl(tmp_path / "documents" / "0.jsonl", rows)
    keep_model = str(REPOSITORY / "curation" / "embedded" / "models" / "worth-keeping")
    done = execute(
        {
            "output": str(tmp_path / "run"),
            "input": {"path": str(tmp_path / "documents"), "carry": ["topic"]},
            "classifier": [{"kind": "fasttext", "name": "keep", "model": keep_model, "label": "__label__keep"}],
            "tiering": {"classifiers": ["keep"]},
            "cluster": {"kind": "existing", "address": client.scheduler.address},
        }
    )
    assert done.code in (0, 1), done.text
    spec = supplies(RunSupply(str(tmp_path / "run"), "web", by=("topic",)))
    found = [each.name for each in plan(spec).sources]
    assert len(set(found)) == len(found)
    assert {name.split("/", 2)[2] for name in found} == {"a%2Fb", "a", "none", "%6Eone", "50%25", "%252F"}
    twice = replace(spec, source=(CountedSupply(found[0], 500),))
    with pytest.raises(ConfigError, match=f"source.{found[0]}: a source of a run has this name; give it another"):
        plan(twice)


def test_many_runs_are_one_supply(scored):
    runs = [RunSupply(str(scored / name / "run"), name, labels=(("snapshot", name),)) for name in ("first", "second")]
    found = plan(supplies(*runs, source=(CountedSupply("code", 500),)))
    both = [expected(frame(scored / name / "run"), (), name) for name in ("first", "second")]
    assert {each.name for each in found.sources} == {*both[0], *both[1], "code"}
    assert {each.labels.get("snapshot") for each in found.sources} == {"first", "second", None}
    assert [each.tokens for each in found.runs] == ["estimated as bytes / 4.6"] * 2


def retiered(run, cluster, name, **tiering):
    """Form a tiering of a run."""
    planned = plan_retier(RetierSpec(str(run), name, TieringSpec(classifiers=("keep",), **tiering), cluster))
    assert retier(planned, Console(file=StringIO())) == 0
    return RunSupply(str(run), "first", tiering=name)


def test_rejected_documents_are_no_supply_unless_they_are_asked_for(runs, cluster):
    run = runs / "first" / "run"
    ruled = retiered(run, cluster, "ruled", keep="n_bytes > 200")
    found = frame(run, "ruled")
    assert counts(supplies(ruled)) == expected(found, ())
    rejected = found[found["tier"] == "rejected"]
    asked = counts(supplies(replace(ruled, tiers=("rejected",))))
    assert asked == {"first/rejected": (len(rejected), rejected["n_tokens"].sum(), rejected["n_bytes"].sum())}


@pytest.mark.parametrize(
    ("supply", "words"),
    [
        ({"by": ("url",)}, "by: 'url' is neither carried, nor a label of a classifier, nor quality"),
        ({"tiering": "other"}, "tiering: there is no tiering 'other'"),
        ({"tiers": ("best",)}, "tiers: no document is best; the tiers are .*'high'"),
    ],
)
def test_supply_that_is_not_there_is_refused(scored, supply, words):
    with pytest.raises(ConfigError, match=words):
        plan(supplies(RunSupply(str(scored / "first" / "run"), "first", **supply)))


def test_tiers_of_former_rows_are_no_supply(runs):
    run = runs / "first" / "run"
    (run / "tierings" / "default" / "tiers" / "0.jsonl.parquet").unlink()
    with pytest.raises(ConfigError, match=r"1 shard of .* have no tiers, .*Form them.* with allow_partial = true"):
        plan(supplies(RunSupply(str(run), "first")))


def test_shards_without_tiers_are_left_out_where_that_is_allowed_and_counted(runs, cluster, tmp_path):
    run = runs / "first" / "run"
    for folder in ("rows", "tierings/default/tiers"):
        (run / folder / "0.jsonl.parquet").unlink()
    (runs / "first" / "documents" / "0.jsonl").unlink()
    partial = RunSupply(str(run), "first", allow_partial=True)
    spec = mixed(runs, tmp_path / "mix", cluster, run=(partial,), tokens=(9_000, 3_000))
    assert counts(spec).items() >= expected(frame(run), ()).items()
    assert "run first: 1 shard without tiers left out (allow_partial)" in list(plan(spec).lines())
    done = wrote(spec)
    assert done.code == 0, done.text
    assert set(done.rows["shard"]) == {"1.jsonl", "2.jsonl", "3.jsonl"}
    assert [each["left_out"] for each in done.manifest["runs"]] == [1]


def test_shards_whose_tiers_came_since_a_mix_was_planned_without_them_are_a_change(runs, cluster, tmp_path):
    tiers = runs / "first" / "run" / "tierings" / "default" / "tiers" / "0.jsonl.parquet"
    data = tiers.read_bytes()
    tiers.unlink()
    partial = RunSupply(str(runs / "first" / "run"), "first", allow_partial=True)
    spec = mixed(runs, tmp_path / "mix", cluster, run=(partial,), tokens=(9_000, 3_000))
    keep(plan(spec))
    tiers.write_bytes(data)
    with pytest.raises(ConfigError, match=r"run.first: .* has changed since it was planned with"):
        writing.plan(spec)


def mixed(runs, output, cluster, *, tokens=(24_000, 16_000), names=("first", "second"), **more):
    """A mix of both runs in two phases, and of code; low tiers at most once, the others often."""
    supply = tuple(RunSupply(str(runs / name / "run"), name, by=("lang",)) for name in names)
    phases = tuple(Phase(str(number), each) for number, each in enumerate(tokens, start=1))
    limits = (Limit(1.0, (("tier", ("low", "medium-low")),)), Limit(5.0))
    settings = {"run": supply, "source": (CountedSupply("code", 1_000),), "limit": limits, "cluster": cluster}
    return MixSpec(str(output), phases, **(settings | more))


def wrote(spec, *, planned=True):
    """Plan a mix, unless it is, and write it; gives exit code, what was printed, plan, manifest and all rows."""
    if planned:
        keep(plan(spec))
    text = StringIO()
    found = writing.plan(spec)
    lines = "\n".join(found.lines())
    code = writing.write(found, Console(file=text, width=200))
    manifest = Path(spec.output, "manifest.json")
    return SimpleNamespace(
        code=code,
        text=lines + text.getvalue(),
        plan=found.plan,
        manifest=json.loads(manifest.read_text()) if manifest.exists() else None,
        rows=rows_of(spec.output),
    )


def rows_of(output):
    """Every row that was written, with the phase whose folder it lies in."""
    paths = sorted(Path(output, "documents").rglob("*.parquet"))
    tables = [
        pd.read_parquet(path).assign(phase=path.relative_to(Path(output, "documents")).parts[0]) for path in paths
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def contents(output):
    """The bytes of all that follows from a plan."""
    names = ("documents", "exports", "draw.json", "files.parquet", "manifest.json", "plan.json")
    files = (
        path for name in names for path in ([Path(output, name)] if "." in name else Path(output, name).rglob("*"))
    )
    return {str(path.relative_to(output)): path.read_bytes() for path in sorted(files) if path.is_file()}


def test_every_phase_holds_the_planned_tokens_of_every_source_within_a_document(scored, cluster, tmp_path):
    done = wrote(mixed(scored, tmp_path / "mix", cluster))
    assert done.code == 0, done.text
    drawn = done.rows.groupby(["phase", "source"])["n_tokens"].sum()
    longest = done.rows.groupby("source")["n_tokens"].max()
    for row, source in enumerate(done.plan.sources):
        for at, phase in enumerate(("1", "2")):
            if source.run and done.plan.tokens[row, at]:
                assert abs(drawn.get((phase, source.name), 0) - done.plan.tokens[row, at]) <= longest[source.name]
    assert done.plan.epochs.sum(axis=1).max() > 1.5


def test_a_document_is_drawn_as_often_as_its_source_or_once_more(scored, cluster, tmp_path):
    done = wrote(mixed(scored, tmp_path / "mix", cluster))
    times = done.rows.groupby(["run", "shard", "position"]).size()
    sources = done.rows.drop_duplicates(["run", "shard", "position"]).set_index(["run", "shard", "position"])["source"]
    epochs = dict(zip((each.name for each in done.plan.sources), done.plan.epochs.sum(axis=1), strict=True))
    for source, found in times.groupby(sources.loc[times.index].to_numpy()):
        assert set(found) <= {int(epochs[source]), int(epochs[source]) + 1, max(1, round(epochs[source]))}
    assert not done.rows.duplicated(["run", "shard", "position", "epoch"]).any()


def test_a_row_is_the_document_that_it_says(scored, cluster, tmp_path):
    done = wrote(mixed(scored, tmp_path / "mix", cluster))
    for run in ("first", "second"):
        found = frame(scored / run / "run")
        texts = {
            json.loads(line)["id"]: json.loads(line).get("text")
            for path in sorted((scored / run / "documents").iterdir())
            for line in path.read_text().splitlines()
        }
        rows = done.rows[done.rows["run"] == run]
        assert [texts[each] for each in rows["id"]] == rows["text"].tolist()
        tiers = found.set_index("id")
        assert rows["tier"].tolist() == tiers.loc[rows["id"], "tier"].tolist()
        assert rows["quality"].tolist() == tiers.loc[rows["id"], "quality"].tolist()
        langs = tiers.loc[rows["id"], "lang"].fillna("none")
        assert rows["source"].tolist() == [
            f"{run}/{tier}/{lang}" for tier, lang in zip(rows["tier"], langs, strict=True)
        ]
    assert not {"blank", "other", "no text"} & set(done.rows["id"])


def test_the_manifest_counts_what_was_written(scored, cluster, tmp_path):
    done = wrote(mixed(scored, tmp_path / "mix", cluster))
    assert [each["documents"] for each in done.manifest["phases"]] == done.rows.groupby("phase").size().tolist()
    by_source = {
        (phase["name"], each["name"]): (each["documents"], each["tokens"])
        for phase in done.manifest["phases"]
        for each in phase["sources"]
        if each["documents"]
    }
    found = done.rows.groupby(["phase", "source"])["n_tokens"].agg(["size", "sum"])
    assert by_source == {key: tuple(row) for key, row in zip(found.index, found.to_numpy().tolist(), strict=True)}
    files = pd.read_parquet(tmp_path / "mix" / "files.parquet")
    assert done.manifest["num_files"] == len(files)
    assert set(files["path"]) == {
        str(path.relative_to(tmp_path / "mix")) for path in (tmp_path / "mix" / "documents").rglob("*.parquet")
    }
    assert files["tokens"].sum() == done.rows["n_tokens"].sum()
    assert (done.manifest["seed"], done.manifest["not_written"]) == (0, ["code"])
    assert "not written: code" in done.text


def test_what_is_written_is_one_path_of_its_phase_for_trainers(scored, cluster, tmp_path):
    done = wrote(mixed(scored, tmp_path / "mix", cluster))
    weight, path, other, code = (tmp_path / "mix" / "exports" / "written" / "megatron-1.txt").read_text().split()
    assert (path, code) == (str(tmp_path / "mix" / "documents" / "1"), "code")
    assert float(weight) == pytest.approx(done.plan.weights[:-1, 0].sum())
    assert float(weight) + float(other) == pytest.approx(1.0)


def test_datasets_loads_what_is_written_and_interleaves_it_as_exported(scored, cluster, tmp_path):
    done = wrote(mixed(scored, tmp_path / "mix", cluster))
    exported = json.loads((tmp_path / "mix" / "exports" / "written" / "interleave-datasets-1.json").read_text())
    paths = [str(path) for path in sorted(Path(exported["paths"][0]).rglob("*.parquet"))]
    web = datasets.Dataset.from_parquet(paths, cache_dir=str(tmp_path / "cache"))
    assert web.num_rows == (done.rows["phase"] == "1").sum()
    code = datasets.Dataset.from_dict({"text": ["print()"] * 50})
    both = datasets.interleave_datasets([web.select_columns("text"), code], seed=0, **exported["arguments"])
    assert {"print()", web[0]["text"]} <= set(both["text"])


def test_what_is_drawn_depends_on_the_seed_and_on_nothing_else(scored, cluster, tmp_path):
    first = wrote(mixed(scored, tmp_path / "a", cluster))
    again = wrote(mixed(scored, tmp_path / "b", ClusterSpec(kind="cpu", workers=1)))
    other = wrote(mixed(scored, tmp_path / "c", cluster, seed=1))
    assert again.rows.equals(first.rows)
    columns = ["phase", "run", "shard", "position"]
    assert not other.rows[columns].equals(first.rows[columns])


def test_the_task_of_a_shard_does_not_grow_with_the_sources(scored, cluster, tmp_path, monkeypatch):
    sent, run_window = [], writing.run_window

    def watched(client, function, items, *rest, **more):
        sent.extend(pickle.dumps(item) for item in items if function is writing.copy_shard)
        return run_window(client, function, items, *rest, **more)

    monkeypatch.setattr(writing, "run_window", watched)
    done = wrote(mixed(scored, tmp_path / "mix", cluster))
    assert done.code == 0, done.text
    names = [source.name.encode() for source in done.plan.sources if source.run]
    assert sent
    assert not [name for name in names for each in sent if name in each]


def test_the_same_command_again_changes_nothing(scored, cluster, tmp_path):
    spec = mixed(scored, tmp_path / "mix", cluster)
    wrote(spec)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "mix" / "documents").rglob("*.parquet")}
    assert wrote(spec).code == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_file_that_is_gone_is_written_again_with_the_same_bytes(scored, cluster, tmp_path):
    spec = mixed(scored, tmp_path / "mix", cluster)
    wrote(spec)
    before = contents(tmp_path / "mix")
    next((tmp_path / "mix" / "documents").rglob("*.parquet")).unlink()
    (tmp_path / "mix" / "manifest.json").unlink()
    assert wrote(spec, planned=False).code == 0
    assert contents(tmp_path / "mix") == before


def test_another_seed_or_plan_in_the_same_folder_is_refused(scored, cluster, tmp_path):
    spec = mixed(scored, tmp_path / "mix", cluster)
    wrote(spec)
    before = contents(tmp_path / "mix")
    with pytest.raises(ConfigError, match="holds documents of another plan or seed, and none are overwritten"):
        writing.plan(replace(spec, seed=1))
    other = replace(spec, limit=(Limit(3.0),))
    with pytest.raises(ConfigError, match="holds documents of another plan"):
        keep(plan(other))
    with pytest.raises(ConfigError, match="is the plan of other settings; run plan_mix"):
        writing.plan(other)
    assert contents(tmp_path / "mix") == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"phase": (Phase("1", 9_000), Phase("2", 3_000))}, "was planned anew meanwhile; start write_mix.py again"),
        ({"seed": 1}, "holds documents of another plan or seed, and none are overwritten"),
    ],
)
def test_a_plan_and_documents_that_came_before_the_lock_was_held_are_not_written_over(
    scored, cluster, tmp_path, change, words
):
    spec = mixed(scored, tmp_path / "mix", cluster, names=("first",), tokens=(12_000, 8_000))
    keep(plan(spec))
    late, other = writing.plan(spec), replace(spec, **change)
    assert wrote(other).code == 0
    before = contents(tmp_path / "mix")
    with pytest.raises(ConfigError, match=words):
        writing.write(late, Console(file=StringIO()))
    assert contents(tmp_path / "mix") == before


def test_documents_that_would_be_written_very_often_are_refused(scored, cluster, tmp_path):
    spec = mixed(scored, tmp_path / "mix", cluster, names=("first",), source=(), limit=(), tokens=(50_000_000,))
    with pytest.raises(
        ConfigError, match=r"first/high/en: would be drawn [\d,]+ times, .* at most 100 times; name a limit"
    ):
        plan(spec)


def test_there_is_nothing_to_write_without_a_plan_or_without_a_run(scored, cluster, tmp_path):
    spec = mixed(scored, tmp_path / "mix", cluster)
    with pytest.raises(ConfigError, match=r"there is no plan in .*; make it with plan_mix"):
        writing.plan(spec)
    counted = replace(spec, run=(), limit=(), phase=(Phase("1", 10),))
    keep(plan(counted))
    with pytest.raises(ConfigError, match="no source is of a run, so there is no document to write"):
        writing.plan(counted)


def test_a_run_that_was_tiered_anew_since_it_was_planned_with_is_refused(runs, cluster, tmp_path):
    run = runs / "first" / "run"
    spec = replace(
        mixed(runs, tmp_path / "mix", cluster, names=("first",), tokens=(9_000, 3_000)),
        run=(retiered(run, cluster, "mine"),),
    )
    keep(plan(spec))
    shutil.rmtree(run / "tierings" / "mine")
    retiered(run, cluster, "mine", weights="documents")
    with pytest.raises(
        ConfigError, match=r"run.first: .* has changed since it was planned with; run plan_mix.py again"
    ):
        writing.plan(spec)


@pytest.mark.parametrize("drawn", [False, True], ids=["before anything was drawn", "when it was known what is drawn"])
def test_a_run_that_is_tiered_anew_while_it_is_written_is_an_error(runs, cluster, tmp_path, drawn):
    run = runs / "first" / "run"
    spec = replace(
        mixed(runs, tmp_path / "mix", cluster, names=("first",), tokens=(9_000, 3_000)),
        run=(retiered(run, cluster, "mine"),),
    )
    if drawn:
        assert wrote(spec).code == 0
        shutil.rmtree(tmp_path / "mix" / "documents")
        (tmp_path / "mix" / "manifest.json").unlink()
    keep(plan(spec))
    planned, text = writing.plan(spec), StringIO()
    shutil.rmtree(run / "tierings" / "mine")
    retiered(run, cluster, "mine", weights="documents")
    assert writing.write(planned, Console(file=text, width=10_000)) == 1
    assert "was scored or tiered again since it was planned with; plan again" in text.getvalue()
    assert rows_of(tmp_path / "mix").empty


def test_input_that_changed_since_it_was_scored_is_an_error_and_nothing_of_it_is_written(runs, cluster, tmp_path):
    path = runs / "first" / "documents" / "0.jsonl"
    path.write_text(path.read_text().replace("Water", "Vater"))
    spec = mixed(runs, tmp_path / "mix", cluster, names=("first",), tokens=(12_000, 8_000))
    done = wrote(spec)
    assert done.code == 1
    assert "failed: first/0.jsonl: " in done.text
    assert "has changed since it was scored" in done.text
    assert done.manifest is None
    assert set(done.rows["shard"]) == {"1.jsonl", "2.jsonl", "3.jsonl"}


def test_text_that_a_run_has_copied_is_read_from_its_copies(runs, cluster, tmp_path, scored):
    shutil.rmtree(runs / "second" / "documents")
    half = {"names": ("second",), "tokens": (12_000, 8_000)}
    copied = wrote(mixed(runs, tmp_path / "copied", cluster, **half))
    assert copied.code == 0, copied.text
    original = wrote(mixed(scored, tmp_path / "original", cluster, **half))
    assert copied.rows.equals(original.rows)


def test_where_the_copies_of_a_tier_are_gone_the_input_is_read(runs, cluster, tmp_path, scored):
    half = {"names": ("second",), "tokens": (12_000, 8_000)}
    shutil.rmtree(next((runs / "second" / "run" / "documents").glob("quality=medium-high*")))
    without = wrote(mixed(runs, tmp_path / "without", cluster, **half))
    assert without.code == 0, without.text
    assert without.rows.equals(wrote(mixed(scored, tmp_path / "original", cluster, **half)).rows)


def test_only_the_copies_of_tiers_that_are_drawn_have_to_be_there(runs, cluster, tmp_path):
    shutil.rmtree(runs / "second" / "documents")
    shutil.rmtree(next((runs / "second" / "run" / "documents").glob("quality=low*")))
    limits = (Limit(0.0, (("tier", ("low",)),)), Limit(5.0))
    done = wrote(mixed(runs, tmp_path / "mix", cluster, names=("second",), tokens=(8_000, 4_000), limit=limits))
    assert done.code == 0, done.text
    assert "low" not in set(done.rows["tier"])


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(scored, cluster, tmp_path, monkeypatch):
    spec = mixed(scored, tmp_path / "mix", cluster)
    keep(plan(spec))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(ConfigError, match=r"has 10 bytes free; this writes about [\d,]+\. Choose another place"):
        writing.plan(spec)


SCRIPTS = REPOSITORY / "pipelines"


def command(script, spec_json, *overrides):
    return [sys.executable, str(SCRIPTS / script), str(spec_json), *overrides]


def num_written(output):
    """The files that are there; -1 before it is known what is drawn."""
    return len(list((output / "documents").rglob("*.parquet"))) if (output / "draw.json").exists() else -1


def test_killed_at_random_moments_the_same_command_writes_the_same_bytes(scored, cluster, tmp_path):
    spec = mixed(scored, tmp_path / "mix", ClusterSpec(kind="cpu", workers=2))
    undisturbed = mixed(scored, tmp_path / "undisturbed", cluster)
    assert wrote(undisturbed).code == 0
    keep(plan(spec))
    path = tmp_path / "mix.json"
    path.write_text(json.dumps(config.dump(spec)))
    num_files = num_written(tmp_path / "undisturbed")
    draw = random.Random(7)
    for goal in (0, draw.randrange(1, num_files // 2), draw.randrange(num_files // 2, num_files)):
        process = subprocess.Popen(command("write_mix.py", path), stdout=subprocess.PIPE, start_new_session=True)
        wait_until(lambda: num_written(tmp_path / "mix") >= goal or process.poll() is not None)  # noqa: B023
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    done = subprocess.run(command("write_mix.py", path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    written, expected_bytes = contents(tmp_path / "mix"), contents(tmp_path / "undisturbed")
    for name in ("draw.json", *(each for each in expected_bytes if each.startswith("documents"))):
        assert written[name] == expected_bytes[name]
    assert written.keys() == expected_bytes.keys()
    assert not list((tmp_path / "mix" / ".scratch").iterdir())


def test_a_mix_is_not_planned_where_another_process_writes(scored, cluster, tmp_path):
    path = tmp_path / "mix.json"
    path.write_text(json.dumps(config.dump(mixed(scored, tmp_path / "mix", cluster))))
    with lock.hold(Layout(str(tmp_path / "mix")).lock_json):
        done = subprocess.run(command("plan_mix.py", path), capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "is writing to this run" in done.stderr
    assert not (tmp_path / "mix" / "plan.json").exists()


def test_the_scripts_plan_and_write_what_their_config_says(scored, tmp_path):
    path = REPOSITORY / "configs" / "mix_embedded.toml"
    settings = [f"output={tmp_path / 'mix'}", f"run.web.path={scored / 'first' / 'run'}", "phase.1.tokens=4000"]
    settings += ["phase.2.tokens=1000"]
    for script, words in (("plan_mix.py", "phase 1: 4,000 tokens"), ("write_mix.py", "not written: code")):
        done = subprocess.run(command(script, path, *settings), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert words in done.stdout
    again = subprocess.run(
        command("write_mix.py", tmp_path / "mix" / "config.json", "--plan"), capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    assert set(rows_of(tmp_path / "mix")["phase"]) == {"1", "2"}
