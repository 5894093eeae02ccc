"""A whole run in one process and two workers: from input files to a tier table."""

import json

import pyarrow.parquet as pq
from conftest import execute
from run_files import contents


def test_a_run_scores_every_document_and_tiers_it(tables):
    done = execute(tables)
    assert done.code == 0
    assert "rows: 240 read = 240 ok + 0 blank + 0 not selected + 0 quarantined" in done.text
    tiers = [
        pq.read_table(path).column("tier").to_pylist() for path in sorted((done.folder / "tierings").rglob("*.parquet"))
    ]
    assert sum(map(len, tiers)) == 240
    assert {tier for each in tiers for tier in each} <= {"high", "medium-high", "medium", "medium-low", "low"}


def test_a_second_run_has_nothing_to_do_and_changes_no_byte(tables):
    first = execute(tables)
    before = contents(first.folder)
    second = execute(tables)
    assert (second.code, len(second.plan.missing.tasks)) == (0, 0)
    assert contents(second.folder) == before


def test_the_resolved_config_starts_the_same_run_again(tables):
    first = execute(tables)
    again = execute(json.loads((first.folder / "config.json").read_text()))
    assert (again.code, again.plan.spec, again.plan.missing.tasks) == (0, first.plan.spec, ())
