import json

import numpy as np
import pytest

from curation.core.errors import ConfigError
from curation.data.labelled import Column, first_of_equal, read


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def row(text, **more):
    return {"id": text, "url": "https://a.example/", "text": text} | more


def test_missing_numbers_are_nan_and_missing_strings_none(tmp_path):
    path = write(tmp_path / "d.jsonl", row("a", edu=1, topic="law"), row("b", edu=None, topic=None))
    documents = read(path, [Column("edu"), Column("topic", scale=None)])
    assert np.array_equal(documents.columns["edu"], [1, np.nan], equal_nan=True)
    assert documents.columns["topic"].tolist() == ["law", None]


def test_exact_duplicates_are_dropped_and_a_missing_url_is_a_host_of_its_own(tmp_path):
    path = write(tmp_path / "d.jsonl", row("a"), row("a"), row("b"), row("c", url=None), row("d", url=None))
    documents = read(path, [])
    assert documents.texts == ["a", "b", "c", "d"]
    assert documents.num_duplicates == 1
    assert documents.hosts.tolist() == [0, 0, 1, 2]


def test_sizes_are_characters_and_utf_8_bytes(tmp_path):
    documents = read(write(tmp_path / "d.jsonl", row("水车"), row("mill")), [])
    assert (documents.lengths.tolist(), documents.num_bytes.tolist()) == ([2, 4], [6, 4])


def test_all_that_is_wrong_with_a_file_is_said_at_once(tmp_path):
    path = write(tmp_path / "d.jsonl", row("a", edu="high"), {"id": "b", "url": None, "text": 5, "edu": "low"})
    with pytest.raises(ConfigError) as refused:
        read(path, [Column("edu")])
    assert [word in str(refused.value) for word in ("edu", "not numbers", "text", "1 values")] == [True] * 4


@pytest.mark.parametrize(("name", "why"), [("none.jsonl", "there is no file"), ("bad.parquet", "cannot be read")])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, why):
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    with pytest.raises(ConfigError, match=why):
        read(tmp_path / name, [])


def test_absent_columns_are_answered_with_those_there_are(tmp_path):
    with pytest.raises(ConfigError, match=r"lacks the columns \['edu'\]; it has \['id', 'url', 'text'\]"):
        read(write(tmp_path / "d.jsonl", row("a")), [Column("edu")])


def test_of_equal_texts_the_first_is_kept():
    assert first_of_equal(["one", "two", "one", "One", "two"]).tolist() == [0, 1, 3]


@pytest.mark.parametrize(
    ("rows", "columns", "words"),
    [
        ([row("a")], [Column("quality")], r"lacks the columns \['quality'\]"),
        ([row("a") | {"edu": 6}], [Column("edu")], "1 values are outside 0 to 5"),
        ([row("a") | {"edu": None}, row("b") | {"edu": None}], [Column("edu")], "no document of .* has edu"),
        ([row("a") | {"edu": 3}], [Column("edu", scale=None)], "1 values are no strings"),
        ([row("a") | {"edu": "high"}], [Column("edu")], "not numbers"),
        ([row("a", edu=1), row("b", edu=1) | {"text": None}], [Column("edu")], "1 values are missing or no strings"),
    ],
)
def test_values_that_are_not_what_their_column_holds_are_refused(tmp_path, rows, columns, words):
    with pytest.raises(ConfigError, match=words):
        read(write(tmp_path / "d.jsonl", *rows), columns, complete=True)


def test_a_text_without_a_word_is_left_out_of_what_is_learnt_from_and_counted(tmp_path):
    documents = read(write(tmp_path / "d.jsonl", row("a", edu=1), row(" \n", edu=1)), [Column("edu")], complete=True)
    assert (list(documents.texts), documents.num_blank, documents.num_incomplete) == (["a"], 1, 0)


def test_documents_without_a_host_are_counted(tmp_path):
    urls = ["https://a.example/", None, "no url", "b.example/page"]
    rows = [row(str(number), url=url) for number, url in enumerate(urls)]
    assert read(write(tmp_path / "d.jsonl", *rows), []).num_without_host == 2


def test_documents_are_others_when_a_label_or_an_address_is(tmp_path):
    def fingerprint(**more):
        path = write(tmp_path / "d.jsonl", row("a", **({"edu": 1} | more)), row("b", edu=None))
        return read(path, [Column("edu")]).fingerprint()

    assert len({fingerprint(), fingerprint(edu=2), fingerprint(url="https://b.example/")}) == 3
    assert fingerprint() == fingerprint()
