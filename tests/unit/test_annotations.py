import json

import pandas as pd
import pytest

from curation.core.errors import ConfigError
from curation.training.annotations import ANY_NUMBER, Column, read

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


@pytest.mark.parametrize(
    ("rows", "labels", "words"),
    [
        (ROWS, [Column("quality")], r"lacks the columns \['quality'\]"),
        ([ROWS[0] | {"edu": 6}], EDU, "1 values are outside 0 to 5"),
        ([ROWS[0] | {"edu": None}, ROWS[1] | {"edu": None}], EDU, "no document of .* has edu"),
        ([ROWS[0] | {"edu": 3}], [Column("edu", scale=None)], "1 values are no strings"),
        ([ROWS[0] | {"edu": "high"}], EDU, "not numbers"),
        ([ROWS[0], ROWS[1] | {"text": None}], EDU, "1 values are missing or no strings"),
    ],
)
def test_data_that_cannot_be_learnt_from_is_refused(tmp_path, rows, labels, words):
    with pytest.raises(ConfigError, match=words):
        read(jsonl(tmp_path / "rows.jsonl", rows), labels)


def test_all_mistakes_are_named_at_once(tmp_path):
    with pytest.raises(ConfigError) as caught:
        read(jsonl(tmp_path / "rows.jsonl", [ROWS[0] | {"text": 3, "edu": 9}]), EDU)
    assert len(caught.value.mistakes) == 2


def test_a_file_that_is_missing_or_broken_is_named(tmp_path):
    with pytest.raises(ConfigError, match="there is no file"):
        read(tmp_path / "none.jsonl", EDU)
    (tmp_path / "broken.jsonl").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "broken.jsonl", EDU)
