"""A whole run in one process and two workers: from input files to a tier table."""

import json
import re

import pyarrow.parquet as pq
import pytest
from run_files import contents, execute

from curation.execution.times import ADVICE


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


def test_the_times_of_every_worker_add_up_to_the_wall_time(tables):
    run = execute(tables)
    times = json.loads((run.folder / "report" / "report.json").read_text())["times"]
    assert len(times["workers"]) == 2
    for spent in times["workers"].values():
        assert sum(spent.values()) == pytest.approx(times["wall_s"], rel=0.02)
        assert spent.keys() <= {*ADVICE, "other", "wait"}
    assert sum(times["shares"].values()) == pytest.approx(1, rel=0.01)
    assert times["shares"]["forward"] > 0
    assert "bound by " in run.text


def test_the_report_says_what_computed_and_what_made_the_ids(tables):
    run = execute(tables)
    builds = set(json.loads((run.folder / "report" / "report.json").read_text())["builds"].values())
    assert len(builds) == 1
    assert re.search(r"2 workers: torch .* on cpu, 1 of 1 trunks packed; ids by (nanotoken|tokenizers) ", run.text)


def test_what_the_plan_has_said_is_not_said_again_at_the_end(tables):
    run = execute(tables)
    said = run.text.splitlines()
    assert [said.count(line) for line in run.plan.lines()] == [1] * len(list(run.plan.lines()))
