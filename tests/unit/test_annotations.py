import json

import pandas as pd
import pytest

from curation.core.errors import ConfigError
from curation.training.annotations import read

ROWS = [
    {"id": "1", "url": "https://a.org/1", "text": "one", "edu": 0},
    {"id": "2", "url": "https://a.org/2", "text": "two", "edu": 2.5},
    {"id": "3", "url": None, "text": "one", "edu": 4},
    {"id": "4", "url": None, "text": "four", "edu": 5},
]


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_duplicates_are_dropped_and_hosts_numbered(tmp_path):
    annotations = read(jsonl(tmp_path / "rows.jsonl", ROWS), ["edu"])
    assert annotations.texts == ["one", "two", "four"]
    assert annotations.labels["edu"].tolist() == [0.0, 2.5, 5.0]
    assert annotations.hosts.tolist() == [0, 0, 1]
    assert (annotations.num_hosts, annotations.num_duplicates) == (2, 1)


def test_parquet_and_json_lines_are_the_same_data(tmp_path):
    pd.DataFrame(ROWS).to_parquet(tmp_path / "rows.parquet")
    both = [read(path, ["edu"]) for path in (tmp_path / "rows.parquet", jsonl(tmp_path / "rows.jsonl", ROWS))]
    assert both[0].fingerprint() == both[1].fingerprint()


def test_the_fingerprint_knows_the_labels(tmp_path):
    changed = [ROWS[0] | {"edu": 1}, *ROWS[1:]]
    first = read(jsonl(tmp_path / "rows.jsonl", ROWS), ["edu"]).fingerprint()
    assert read(jsonl(tmp_path / "changed.jsonl", changed), ["edu"]).fingerprint() != first


@pytest.mark.parametrize(
    ("rows", "labels", "words"),
    [
        (ROWS, ["quality"], r"lacks the columns \['quality'\]"),
        ([ROWS[0] | {"edu": 6}], ["edu"], "1 values are missing or outside 0 to 5"),
        ([ROWS[0], ROWS[1] | {"edu": None}], ["edu"], "1 values are missing or outside 0 to 5"),
        ([ROWS[0] | {"edu": "high"}], ["edu"], "not numbers"),
        ([ROWS[0], ROWS[1] | {"text": None}], ["edu"], "1 values are missing or no strings"),
    ],
)
def test_data_that_cannot_be_learnt_from_is_refused(tmp_path, rows, labels, words):
    with pytest.raises(ConfigError, match=words):
        read(jsonl(tmp_path / "rows.jsonl", rows), labels)


def test_all_mistakes_are_named_at_once(tmp_path):
    with pytest.raises(ConfigError) as caught:
        read(jsonl(tmp_path / "rows.jsonl", [ROWS[0] | {"text": 3, "edu": 9}]), ["edu"])
    assert len(caught.value.mistakes) == 2


def test_a_file_that_is_missing_or_broken_is_named(tmp_path):
    with pytest.raises(ConfigError, match="there is no file"):
        read(tmp_path / "none.jsonl", ["edu"])
    (tmp_path / "broken.jsonl").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "broken.jsonl", ["edu"])
