"""A second run computes exactly what is missing or stale, and says why."""

import gzip
import json
import os

from run_files import contents, documents, execute, write_jsonl

from curation.data.sidecar import read_record


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


def test_pruning_deletes_what_runs_have_written_and_nothing_else(tables, corpus):
    folder = execute(tables).folder
    (folder / "rows" / "notes.txt").write_text("mine")
    (folder / "rows" / "mine.parquet").write_bytes(b"mine too")
    (corpus / "part-11.jsonl").unlink()
    done = execute(tables, prune=True)
    assert "pruned: 4 files; 2 that no run has written stay" in done.text
    assert {path.name for path in folder.rglob("*") if "part-11" in path.name} == set()
    assert (folder / "rows" / "notes.txt").read_text() == "mine"


def test_a_file_that_was_away_is_scored_again_if_it_changed(tables, corpus):
    execute(tables)
    away = corpus / "part-05.jsonl"
    away.rename(corpus.parent / "away")
    execute(tables)
    write_jsonl(away, documents(7, 900))
    done = execute(tables)
    assert scored(done) == {"part-05.jsonl": (("edu", "keep"), True)}
    assert "rows: 227 read" in done.text


def test_a_folder_with_the_same_names_and_sizes_is_another_input(tables, corpus, tmp_path):
    execute(tables)
    other = tmp_path / "other"
    for number in range(12):
        write_jsonl(other / f"part-{number:02}.jsonl", documents(20, 20 * number))
    file = other / "part-03.jsonl"
    file.write_text(file.read_text().replace("Water", "Later"))
    assert file.stat().st_size == (corpus / file.name).stat().st_size
    done = execute(tables | {"input": tables["input"] | {"path": str(other)}})
    assert scored(done) == {"part-03.jsonl": (("edu", "keep"), True)}


def test_a_corpus_that_was_moved_is_not_scored_again_and_can_grow_by_a_classifier(tables, models, corpus):
    execute(tables)
    moved = corpus.rename(corpus.parent / "moved")
    tables["input"] |= {"path": str(moved)}
    assert scored(execute(tables)) == {}
    done = execute(tables | {"classifier": [models["edu"], models["other"], models["keep"]]})
    assert (done.code, scored(done)) == (0, dict.fromkeys(names(moved), (("other",), False)))


def test_a_carried_column_of_another_type_selects_anew(tables, corpus):
    rows = [{"id": f"{n}", "text": "a text", "n": n if n % 2 else n + 0.5} for n in range(10)]
    write_jsonl(corpus / "part-00.jsonl", rows)
    tables["input"] |= {"where": "n >= 0"}
    execute(tables, 'input.carry=["n:int64"]', "calibrate=own")
    done = execute(tables, 'input.carry=["n:float64"]')
    assert scored(done) == dict.fromkeys(names(corpus), (("edu", "keep"), True))


def test_what_a_failing_run_left_of_an_edited_file_is_not_believed_by_the_next(tables, corpus):
    file = corpus / "part-03.jsonl.gz"
    file.write_bytes(gzip.compress((corpus / "part-03.jsonl").read_bytes()))
    (corpus / "part-03.jsonl").unlink()
    execute(tables)
    file.write_bytes(file.read_bytes()[:-20])
    assert [execute(tables).code for _ in range(2)] == [1, 1]
    done = execute(tables)
    assert scored(done) == {file.name: (("edu", "keep"), True)}


def test_a_smaller_ensemble_leaves_no_thresholds_that_a_larger_one_would_keep(tables):
    execute(tables, 'tiering.classifiers=["keep"]')
    done = execute(tables)
    assert (done.code, scored(done)) == (0, {})


def test_stale_rows_are_not_tiered_when_a_run_gives_up(tables, corpus):
    file = corpus / "part-00.jsonl.gz"
    file.write_bytes(gzip.compress((corpus / "part-00.jsonl").read_bytes() * 50))
    (corpus / "part-00.jsonl").unlink()
    execute(tables)
    file.write_bytes(file.read_bytes()[:-20])
    done = execute(tables, 'input.carry=["lang"]', "allow_partial=true", "max_failures=1")
    fresh = [
        path.name
        for path in sorted((done.folder / "rows").iterdir())
        if read_record(str(path))["reading"] == done.plan.spec.rows_identity()
    ]
    tiered = (done.folder / "tierings" / "default" / "tiers").iterdir()
    current = [
        path.name for path in sorted(tiered) if read_record(str(path))["reading"] == done.plan.spec.rows_identity()
    ]
    assert (done.code, current) == (1, fresh)
    assert f"tiers: {12 - len(fresh)} of 12 shards are missing (allow_partial)." in done.text
    assert "stopped after 1 failed shards (max_failures)" in done.text


def test_a_former_folder_of_the_same_model_is_no_change_of_it(tables, corpus):
    execute(tables)
    (corpus / "part-11.jsonl").unlink()
    write_jsonl(corpus / "part-12.jsonl", documents(5, 700))
    done = execute(tables)
    assert "changed from" not in done.text
    assert "to do: 1 of 12 shards: scores of edu are missing" in done.text


def test_settings_that_are_kept_for_what_is_done_are_said(tables):
    execute(tables)
    done = execute(tables, "token_budget=1024", "shard_bytes=1MB")
    assert "scoring.token_budget was 2048 so far and is 1024 now" in done.text
    assert "input.shard_bytes was 134217728 so far" in done.text
