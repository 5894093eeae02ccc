"""A run directory of format 1 stays readable: the first version made these files, and nobody makes them again."""

import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console
from run_files import contents

from curation import config
from curation.calibration.description import Description
from curation.data.layout import QUARANTINE_SCHEMA, Layout, columns_schema, rows_schema
from curation.data.sidecar import iter_columns, read_columns, read_record
from curation.execution import spec
from curation.execution.plan import make_plan
from curation.execution.run import run

FOLDER = Path(__file__).parent / "format-1"
LAYOUT = Layout(str(FOLDER / "run"))
SHARD = "a.jsonl"


@pytest.fixture
def settings(tmp_path, client):
    """The config that made the run, for a copy of its directory and of its corpus, on the shared cluster."""
    shutil.copytree(FOLDER, tmp_path / "copy")
    tables = json.loads((FOLDER / "run" / "config.json").read_text())
    tables["output"] = str(tmp_path / "copy" / "run")
    tables["input"]["path"] = [str(tmp_path / "copy" / "corpus")]
    tables["cluster"] = {"kind": "existing", "address": client.scheduler.address}
    return config.parse(spec.RunSpec, tables, (), spec.KINDS)


def test_the_same_command_on_it_has_nothing_to_do_but_to_describe_its_tiering(settings):
    plan = make_plan(settings)
    assert plan.missing.tasks == ()
    assert run(plan, Console(quiet=True)) == 0
    found = contents(Path(settings.output))
    description = Description.from_json(found.pop("tierings/default/description.json"))
    assert found == contents(FOLDER / "run")
    assert description.quality[0].nonzero()[0].tolist() == [1 + 4, 1 + 11, 1 + 19]


def test_a_classifier_can_be_added_to_it(settings):
    tables = config.dump(settings)
    tables["classifier"] += [tables["classifier"][0] | {"name": "second"}]
    plan = make_plan(config.parse(spec.RunSpec, tables, (), spec.KINDS))
    assert [([each.name for each in task.pinned], task.writes_rows) for task in plan.missing.tasks] == [
        (["second"], False)
    ]


def test_rows_of_format_1_are_read():
    record = read_record(LAYOUT.rows(SHARD))
    counts = ("read", "ok", "blank", "not_selected", "quarantined", "made_ids", "carry_nulls")
    assert [record[key] for key in counts] == [7, 3, 1, 1, 2, 1, 1]
    table = read_columns(LAYOUT.rows(SHARD))
    assert table.schema.equals(rows_schema({"lang": "string", "year": "int64", "share": "float64", "seen": "bool"}))
    assert table.to_pydict() == {
        "position": [0, 150, 240, 336, 490],
        "id": ["one", "zwei-ß", "a.jsonl#240", "四", "five"],
        "n_bytes": [68, 2, 27, 54, 37],
        "n_chars": [68, 2, 26, 18, 37],
        "n_tokens": [15, 1, 6, 12, 9],
        "state": ["ok", "blank", "not_selected", "ok", "ok"],
        "lang": ["en", None, "de", "zh", "en"],
        "year": [2024, None, -1, 9_223_372_036_854_775_807, None],
        "share": [0.1, None, -0.0, 1e-300, None],
        "seen": [True, None, False, True, None],
    }


def test_scores_of_format_1_are_read():
    url = LAYOUT.scores("worth-keeping-d2362474", SHARD)
    assert [read_record(url)[key] for key in ("kind", "num_rows", "num_scored")] == ["scores", 5, 3]
    table = read_columns(url)
    assert table.schema.equals(columns_schema({"worth-keeping": "float32"}))
    assert [score is None for score in table["worth-keeping"].to_pylist()] == [False, True, True, False, False]


def test_tiers_of_format_1_are_read_by_row_group():
    url = LAYOUT.tiers("default", SHARD)
    assert read_record(url)["kind"] == "tiers"
    assert [table.to_pydict() for table in iter_columns(url, ["worth-keeping_bucket", "quality", "tier"])] == [
        {
            "worth-keeping_bucket": [19, -1, -1, 11, 4],
            "quality": [19, -1, -1, 11, 4],
            "tier": ["high", "unscored", "unscored", "medium-low", "low"],
        }
    ]


def test_quarantine_of_format_1_is_read():
    table = read_columns(LAYOUT.quarantine(SHARD))
    assert table.schema.equals(QUARANTINE_SCHEMA)
    assert table["reason"].to_pylist() == ["bad UTF-8 in the text", "text is missing"]
    assert table["raw"][0].as_py() == b'{"text": "\xff"}'
