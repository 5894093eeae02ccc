"""The first rows tell of a column that is not there."""

import pytest
from input_files import json_lines, shards_of, spec_of, write

from curation.data.preview import Preview, preview

ROWS = [{"id": f"{number}", "text": "a text", "lang": "en", "year": 2024, "empty": None} for number in range(9)]


def look(tmp_path, rows=ROWS, **settings):
    for name in "abcdef":
        write(tmp_path / f"{name}.jsonl", json_lines(*rows))
    spec = spec_of(tmp_path, **settings)
    return preview(shards_of(spec), spec)


def test_what_is_there_needs_no_word(tmp_path):
    assert look(tmp_path, carry=("lang", "year:int64")) == Preview()


@pytest.mark.parametrize(("column", "found"), [("content", "missing"), ("year", "a number"), ("empty", "null")])
def test_a_text_column_without_texts_is_a_mistake(tmp_path, column, found):
    (mistake,) = look(tmp_path, text_column=column).mistakes
    assert (
        mistake
        == f"[input] text_column: {column!r} is not the text: the first 27 rows have no text there, but {found}."
    )


def test_one_text_is_enough(tmp_path):
    assert look(tmp_path, [*ROWS, {"id": "9", "content": "x"}], text_column="content") == Preview()


def test_made_ids_are_worth_a_note(tmp_path):
    (note,) = look(tmp_path, id_column="nope").notes
    assert note.startswith("none of the first 27 rows has an id in 'nope'; ids are made")


@pytest.mark.parametrize("carried", ["lnag", "year", "empty:bool"])
def test_a_carried_column_without_a_value_is_worth_a_note(tmp_path, carried):
    (note,) = look(tmp_path, carry=("lang", carried)).notes
    name, _, kind = carried.partition(":")
    assert note.startswith(f"none of the first 27 rows has a {kind or 'string'} in the carried column {name!r}")


def test_files_that_cannot_be_read_are_left_to_the_run(tmp_path):
    write(tmp_path / "a.jsonl.gz", b"no gzip")
    spec = spec_of(tmp_path)
    assert preview(shards_of(spec), spec) == Preview()
