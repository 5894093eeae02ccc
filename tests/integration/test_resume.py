"""A second run computes exactly what is missing or stale, and says why."""

import json
import os

from conftest import contents, documents, execute, write_jsonl


def scored(done):
    """Shard → the classifiers that a run had to ask, and whether it wrote rows."""
    return {
        task.shard.name: (tuple(each.name for each in task.pinned), task.writes_rows)
        for task in done.plan.missing.tasks
    }


def names(folder):
    return [path.name for path in sorted(folder.iterdir())]


def test_adding_a_classifier_scores_only_that_one(tables, models, corpus):
    before = contents(execute(tables).folder)
    done = execute(tables | {"classifier": [models["edu"], models["other"], models["keep"]]})
    assert scored(done) == dict.fromkeys(names(corpus), (("other",), False))
    after = contents(done.folder)
    assert {path: after[path] for path in before if not path.startswith("tierings")} == {
        path: data for path, data in before.items() if not path.startswith("tierings")
    }


def test_a_run_that_grew_by_a_classifier_equals_one_that_had_it_from_the_start(tables, models, tmp_path):
    execute(tables)
    grown = tables | {"classifier": [models["edu"], models["other"], models["keep"]]}
    assert contents(execute(grown).folder) == contents(execute(grown | {"output": str(tmp_path / "whole")}).folder)


def test_an_edited_file_is_scored_again_and_the_reason_is_said(tables, corpus):
    execute(tables)
    write_jsonl(corpus / "part-03.jsonl", documents(20, 1000))
    done = execute(tables)
    assert scored(done) == {"part-03.jsonl": (("edu", "keep"), True)}
    assert "to do: 1 of 12 shards: input content changed" in done.text


def test_a_file_with_a_new_time_and_the_old_content_is_not_scored_again(tables, corpus):
    execute(tables)
    os.utime(corpus / "part-03.jsonl", (1, 1))
    done = execute(tables)
    assert (scored(done), done.code) == ({}, 0)


def test_lines_added_at_the_end_leave_the_shards_before_them_alone(tables, corpus):
    tables["input"] |= {"shard_bytes": 1500}
    file = corpus / "part-00.jsonl"
    before = [each.name for each in execute(tables).plan.shards if each.relative == file.name]
    write_jsonl(file, [*documents(20), *documents(1, 5000)])
    done = execute(tables)
    after = [each.name for each in done.plan.shards if each.relative == file.name]
    assert len(before) == 4
    assert after[:3] == before[:3]
    assert (done.code, list(scored(done))) == (0, after[3:])


def test_selecting_other_rows_scores_and_tiers_them_again(tables, tmp_path):
    frozen = execute(tables).folder / "tierings" / "default" / "thresholds.json"
    selecting = {
        "input": tables["input"] | {"where": "url == 'https://1.example/'"},
        "tiering": {"thresholds": str(frozen)},
    }
    execute(tables | {"output": str(tmp_path / "grown"), "tiering": selecting["tiering"]})
    grown = execute(tables | selecting | {"output": str(tmp_path / "grown")})
    whole = execute(tables | selecting | {"output": str(tmp_path / "whole")})
    assert contents(grown.folder) == contents(whole.folder)


def test_a_model_with_other_weights_is_scored_beside_the_old_one(tables, models):
    execute(tables)
    done = execute(tables | {"classifier": [models["other"] | {"name": "edu"}, models["keep"]]})
    assert {classifiers for classifiers, _ in scored(done).values()} == {("edu",)}
    assert "to do: 12 of 12 shards: fingerprint of edu changed from" in done.text
    assert len(list((done.folder / "scores").glob("edu-*"))) == 2


def test_an_equal_model_under_another_path_is_not_scored_again(tables, models):
    execute(tables)
    done = execute(tables | {"classifier": [models["same"] | {"name": "edu"}, models["keep"]]})
    assert scored(done) == {}


def test_carrying_another_column_rewrites_only_rows(tables, corpus):
    execute(tables)
    done = execute(tables, 'input.carry=["url", "lang"]')
    assert scored(done) == dict.fromkeys(names(corpus), ((), True))


def test_other_tiers_need_no_scores(tables):
    execute(tables)
    done = execute(tables | {"tiering": {"tiers": {"best": [10, 19], "rest": [0, 9]}}})
    assert (done.code, scored(done)) == (0, {})
    assert "best" in done.text


def test_a_lost_sidecar_is_made_again(tables):
    first = execute(tables)
    before = contents(first.folder)
    next((first.folder / "scores").glob("keep-*/part-05*")).unlink()
    (first.folder / "quarantine").mkdir(exist_ok=True)
    done = execute(tables)
    assert scored(done) == {"part-05.jsonl": (("keep",), False)}
    assert contents(done.folder) == before


def test_files_that_no_input_accounts_for_are_listed(tables, corpus):
    execute(tables)
    (corpus / "part-11.jsonl").unlink()
    done = execute(tables)
    assert "orphan (--prune deletes it): rows/part-11.jsonl.parquet" in done.text
    assert "11 shards" in done.text


def test_inputs_json_remembers_what_was_read(tables):
    folder = execute(tables).folder
    known = json.loads((folder / "inputs.json").read_text())
    assert all(len(file["shards"]) == 1 for file in known.values())
