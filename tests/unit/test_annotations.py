import json

import pandas as pd

from curation.data.labelled import ANY_NUMBER, Column
from curation.training.annotations import read

ROWS = [
    {"id": "1", "url": "https://a.org/1", "text": "one", "edu": 0},
    {"id": "2", "url": "https://a.org/2", "text": "two", "edu": 2.5},
    {"id": "3", "url": None, "text": "one", "edu": 4},
    {"id": "4", "url": None, "text": "four", "edu": 5},
]
EDU = [Column("edu")]


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_duplicates_are_dropped_and_hosts_numbered(tmp_path):
    annotations = read(jsonl(tmp_path / "rows.jsonl", ROWS), EDU)
    assert annotations.texts == ["one", "two", "four"]
    assert annotations.labels["edu"].tolist() == [0.0, 2.5, 5.0]
    assert annotations.hosts.tolist() == [0, 0, 1]
    assert (annotations.num_hosts, annotations.num_duplicates) == (2, 1)


def test_parquet_and_json_lines_are_the_same_data(tmp_path):
    pd.DataFrame(ROWS).to_parquet(tmp_path / "rows.parquet")
    both = [read(path, EDU) for path in (tmp_path / "rows.parquet", jsonl(tmp_path / "rows.jsonl", ROWS))]
    assert both[0].fingerprint() == both[1].fingerprint()


def test_documents_without_a_label_are_left_out_and_counted_before_duplicates_are(tmp_path):
    rows = [ROWS[0] | {"edu": None}, *ROWS[1:]]
    annotations = read(jsonl(tmp_path / "rows.jsonl", rows), EDU)
    assert annotations.texts == ["two", "one", "four"]
    assert (annotations.num_unlabelled, annotations.num_duplicates) == (1, 0)


def test_labels_may_be_numbers_on_any_scale(tmp_path):
    rows = [row | {"edu": 100 * row["edu"] - 7} for row in ROWS]
    labels = read(jsonl(tmp_path / "rows.jsonl", rows), [Column("edu", ANY_NUMBER)]).labels
    assert labels["edu"].tolist() == [-7.0, 243.0, 493.0]


def test_labels_may_be_names_of_classes(tmp_path):
    rows = [row | {"topic": topic} for row, topic in zip(ROWS, ["体育", "法律", "体育", "体育"], strict=True)]
    annotations = read(jsonl(tmp_path / "rows.jsonl", rows), [Column("topic", scale=None)])
    assert annotations.classes == ("体育", "法律")
    assert annotations.labels["topic"].tolist() == [0.0, 1.0, 0.0]


def test_the_fingerprint_knows_the_labels(tmp_path):
    changed = [ROWS[0] | {"edu": 1}, *ROWS[1:]]
    first = read(jsonl(tmp_path / "rows.jsonl", ROWS), EDU).fingerprint()
    assert read(jsonl(tmp_path / "changed.jsonl", changed), EDU).fingerprint() != first
