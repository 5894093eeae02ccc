"""What fails is reported and tried again; what did not fail is kept."""

import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from run_files import call, change_weights, contents, execute, write_jsonl

from curation.core.errors import ConfigError, ModelError


@pytest.fixture
def parquet_corpus(corpus):
    """The corpus as Parquet files."""
    import pandas as pd

    for file in sorted(corpus.glob("*.jsonl")):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        pd.DataFrame(rows).to_parquet(file.with_suffix(".parquet"), index=False)
        file.unlink()
    return corpus


def test_one_corrupt_file_among_twelve(tables, parquet_corpus, tmp_path):
    undisturbed = contents(execute(tables | {"output": str(tmp_path / "undisturbed")}).folder)
    file = parquet_corpus / "part-07.parquet"
    good = file.read_bytes()
    file.write_bytes(good[: len(good) // 2])
    first = execute(tables)
    assert first.code == 1
    assert len(list((first.folder / "rows").iterdir())) == 11
    assert "failed: part-07.parquet: " in first.text
    assert "tiers: wait for 1 of 12 shards" in first.text
    file.write_bytes(good)
    second = execute(tables)
    assert [task.shard.name for task in second.plan.missing.tasks] == ["part-07.parquet"]
    assert second.code == 0
    assert contents(second.folder) == undisturbed


def test_partial_tiers_are_made_when_allowed_and_marked(tables, parquet_corpus):
    file = parquet_corpus / "part-07.parquet"
    file.write_bytes(file.read_bytes()[:100])
    done = execute(tables, "allow_partial=true")
    assert done.code == 1
    assert json.loads((done.folder / "tierings/default/thresholds.json").read_text())["partial"] is True
    assert len(list((done.folder / "tierings/default/tiers").iterdir())) == 11


def test_a_run_stops_after_max_failures(tables, parquet_corpus):
    for file in parquet_corpus.iterdir():
        file.write_bytes(b"PAR1 not a Parquet file PAR1")
    done = execute(tables, "max_failures=2")
    assert done.code == 1
    assert 2 <= sum(line.startswith("failed: ") for line in done.text.splitlines()) <= 6


def test_a_model_whose_canary_fails_costs_no_shard(tables, models, tmp_path):
    folder = tmp_path / "tampered"
    shutil.copytree(models["edu"]["model"], folder)
    canary = (folder / "canary.json").read_bytes()
    change_weights(folder)
    (folder / "canary.json").write_bytes(canary)
    with pytest.raises(ModelError, match="canary text 0 scores"):
        execute(tables | {"classifier": [models["edu"] | {"model": str(folder)}]})
    assert not (Path(tables["output"]) / "rows").exists()


def test_every_mistake_is_found_in_one_plan(tables, models, corpus):
    (corpus / "sub").mkdir()
    tables["input"] |= {
        "path": [str(corpus), str(corpus / "nowhere")],
        "where": "lang ==",
        "carry": ["url", "tier:int"],
    }
    tables["classifier"] = [models["edu"] | {"model": "/no/such/model"}, models["keep"] | {"name": "tier"}]
    tables["tiering"] = {"tiers": {"high": [18, 19], "low": [0, 18]}, "classifiers": ["nobody"]}
    with pytest.raises(ConfigError) as caught:
        execute(tables)
    text = str(caught.value)
    for part in ("'int'", "/no/such/model", "classifier.tier: ", "bucket 18", "'nobody'", "nowhere"):
        assert part in text


def test_the_script_prints_mistakes_without_a_traceback_and_exits_2(tables, tmp_path):
    done = call(tables | {"max_failures": 0}, tmp_path / "config.json", "tiering.weights=words")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == ["tiering.weights: 'words' is not one of 'bytes', 'tokens', 'documents'."]


def test_a_plan_writes_nothing(tables, tmp_path):
    done = call(tables, tmp_path / "config.json", "--plan")
    assert done.returncode == 0
    assert "to do: 12 of 12 shards: scores of edu are missing" in done.stdout
    assert not Path(tables["output"]).exists()


def test_the_documents_of_each_tier_are_copied_once(tables):
    first = execute(tables, "documents=true")
    copied = sorted((first.folder / "documents").rglob("*.parquet"))
    ids = [name for path in copied for name in pq.read_table(path, partitioning=None).column("id").to_pylist()]
    assert sorted(ids) == sorted(f"doc-{number}" for number in range(240))
    before = contents(first.folder)
    assert contents(execute(tables, "documents=true").folder) == before
    moved = execute(tables | {"tiering": {"tiers": {"all": [0, 19]}}}, "documents=true")
    assert {path.relative_to(moved.folder / "documents").parts[0] for path in copied if path.exists()} == set()
    assert len(list((moved.folder / "documents").rglob("*.parquet"))) == 12


def test_an_input_that_changed_unseen_is_not_copied_under_old_tiers(tables, corpus):
    execute(tables)
    file = corpus / "part-03.jsonl"
    before = file.stat()
    file.write_text(file.read_text().replace("Water", "Later"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    done = execute(tables, "documents=true")
    assert done.code == 1
    assert f"failed: part-03.jsonl: {file}: has changed since it was scored" in done.text
    assert not list((done.folder / "documents").rglob("part-03*"))


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ({"output": ""}, "output: is empty; name the directory of the run."),
        ({"output": "{corpus}/run"}, "output: {corpus}/run lies within the input"),
        ({"output": "{corpus}/part-00.jsonl/run"}, "{corpus}/part-00.jsonl is a file. Choose another place."),
        (
            {"tokens": {"count_tokenizer": "/no/such/folder"}},
            "tokens.count_tokenizer: /no/such/folder: has no tokenizer",
        ),
        ({"scoring": {"device": "gpu"}}, 'scoring.device: \'gpu\' is none of "auto", "cpu", "cuda"'),
        ({"input": {"text_column": "content"}}, "[input] text_column: 'content' is not the text: the first"),
        (
            {"input": {"carry": ["edu_bucket"]}},
            "the column 'edu_bucket' would come from the buckets of edu and from input",
        ),
        ({"input": {"path": "nothing://here"}}, "[input] path: 'nothing://here' cannot be listed"),
    ],
)
def test_a_plan_finds(tables, corpus, change, mistake):
    changed = {key: value.format(corpus=corpus) if isinstance(value, str) else value for key, value in change.items()}
    changed["input"] = tables["input"] | changed.get("input", {})
    with pytest.raises(ConfigError) as caught:
        execute(tables | changed)
    assert mistake.format(corpus=corpus) in str(caught.value)


def test_a_corpus_without_a_text_is_reconciled_and_has_no_tiers(tables, corpus):
    for file in corpus.iterdir():
        write_jsonl(file, [{"id": "1", "text": ""}, {"id": "2", "text": " "}])
    done = execute(tables)
    assert done.code == 1
    assert "rows: 24 read = 0 ok + 24 blank" in done.text
    assert "No document was scored" in done.text
    assert "edu: no cuts can be found" in done.text


def test_a_device_that_is_not_there_is_one_sentence(tables, tmp_path):
    done = call(tables, tmp_path / "config.json", "scoring.device=cuda")
    assert done.returncode == 2
    assert done.stderr.startswith("Workers without a GPU: ")
    assert "Traceback" not in done.stdout + done.stderr


def test_rows_are_counted_again_by_a_tokenizer_of_other_content_and_not_by_one_elsewhere(tables, models, tmp_path):
    folder = shutil.copytree(models["edu"]["model"], tmp_path / "tokenizer")
    execute(tables | {"tokens": {"count_tokenizer": models["edu"]["model"]}})
    counting = tables | {"tokens": {"count_tokenizer": str(folder)}}
    assert execute(counting).plan.missing.tasks == ()
    file = folder / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    tokenizer["normalizer"] = {"type": "Lowercase"}
    file.write_text(json.dumps(tokenizer))
    assert len(execute(counting).plan.missing.tasks) == 12


@pytest.mark.parametrize(
    ("name", "content"),
    [("tokenizer.json", "{"), ("tokenizer_config.json", "[]"), ("config.json", "[]"), ("canary.json", "nonsense")],
)
def test_a_damaged_model_is_a_mistake_of_the_plan(tables, models, tmp_path, name, content):
    folder = shutil.copytree(models["edu"]["model"], tmp_path / "damaged")
    (folder / name).write_text(content)
    with pytest.raises((ConfigError, ModelError), match=f"{name}: "):
        execute(tables | {"classifier": [models["edu"] | {"model": str(folder)}]})


def test_a_damaged_config_of_the_run_is_written_anew(tables):
    folder = execute(tables).folder
    (folder / "config.json").write_text("{")
    assert execute(tables).code == 0
    assert json.loads((folder / "config.json").read_text())["output"] == str(folder)
